"""What TorchServe and multi-model-server have in common: one was made of the other, and both run on Java."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

# They write several lines a request, and log4j is slow.
LOG = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="console" target="SYSTEM_ERR"><PatternLayout pattern="%d{ISO8601} %p %m%n"/></Console>
  </Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""

# Killing the program that starts Java would leave Java behind; it finds it by a file, of which it wants one
# in the temporary folder for all servers of the machine.
START = """
mkdir -p tmp
export TMPDIR="$$PWD/tmp" ${prefix}_INFERENCE_ADDRESS="http://$$HOST:$$PORT"
$more
trap 'stopped=yes; $program --stop >/dev/null' TERM INT
$program --start --foreground $options --log-config log4j2.xml &
wait $$! || { code=$$?; test -n "$${stopped-}" || exit $$code; wait; }
"""


def archive(files: Mapping[str, str], manifest: Mapping[str, Any]) -> bytes:
    """Returns a model archive (`.mar`); equal ones are of equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as mar:
        for name, text in {**files, "MAR-INF/MANIFEST.json": json.dumps(manifest, indent=2)}.items():
            mar.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()
