"""imagegraph: one graph of image models, written once, run embedded, plain, on Seldon or on KServe."""

import logging

__version__ = "0.1.0"

# Who uses the library says where its log goes; without that, it goes nowhere.
logging.getLogger(__name__).addHandler(logging.NullHandler())
