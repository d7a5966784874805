"""The models: one file a family, one entry in catalogue.yaml a model."""

from components.late import postpone

postpone()
