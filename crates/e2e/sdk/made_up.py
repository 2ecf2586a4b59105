"""Requests that Schemathesis makes up out of the API's own document, right ones and wrong ones: none is a fault of ours, and every answer is one
that the document knows. `AIO_EXAMPLES` says how many for each operation; the same are made up each time."""

import os
import subprocess
import sys

url = os.environ["AIO_URL"]
command = [
    sys.executable, "-m", "schemathesis.cli", "run", url + "/openapi.json",
    "--url", url,
    "--header", "Authorization: Bearer " + os.environ["AIO_KEY"],
    "--checks", "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance",
    "--phases", "examples,coverage,fuzzing",
    "--max-examples", os.environ.get("AIO_EXAMPLES", "5"),
    "--workers", "2",
    "--continue-on-failure",
    "--generation-deterministic",
    "--suppress-health-check", "all",
    "--request-timeout", "70",
    "--warnings", "off",
    "--no-color",
]
sys.exit(subprocess.run(command, stdout=sys.stderr).returncode)
