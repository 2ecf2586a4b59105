// Standard Webhooks' own library for JavaScript takes what we sent, and nothing that was changed on the way.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const given = JSON.parse(readFileSync(0, "utf8"));
const verified = new Webhook(given.secret).verify(given.body, given.headers);
assert.equal(verified.type, given.type);

for (const wrong of [
  { ...given, body: given.body + " " },
  { ...given, headers: { ...given.headers, "webhook-id": "evt_other" } },
  { ...given, secret: "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBhbHRvZ2V0aGVy" },
]) {
  assert.throws(() => new Webhook(wrong.secret).verify(wrong.body, wrong.headers), WebhookVerificationError);
}
