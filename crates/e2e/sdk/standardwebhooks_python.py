"""Standard Webhooks' own library for Python takes what we sent, and nothing that was changed on the way."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

given = json.load(sys.stdin)
library = Webhook(given["secret"])
verified = library.verify(given["body"], given["headers"])
assert (verified or json.loads(given["body"]))["type"] == given["type"]

for wrong in (
    {**given, "body": given["body"] + " "},
    {**given, "headers": {**given["headers"], "webhook-id": "evt_other"}},
    {**given, "secret": "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBhbHRvZ2V0aGVy"},
):
    try:
        Webhook(wrong["secret"]).verify(wrong["body"], wrong["headers"])
    except WebhookVerificationError:
        continue
    raise AssertionError("a forged webhook was taken")
