"""The document of the API, by a validator of OpenAPI that is not ours: served without a key, and sound."""

import json
import os
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

with urllib.request.urlopen(os.environ["AIO_URL"] + "/openapi.json") as answer:
    document = json.load(answer)
errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
assert not errors, errors
assert document["paths"]["/images/generations"]["post"]["operationId"] == "postImagesGenerations"
