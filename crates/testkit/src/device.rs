//! A device that keeps a passkey, in software: it makes one, and signs, as a browser sends it (WebAuthn, W3C).

use anyhow::{Context as _, Result, anyhow};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use rand::Rng as _;
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// A device with one passkey.
#[derive(Debug)]
pub struct Device {
    key: EcdsaKeyPair,
    /// What the device calls the passkey.
    pub credential: Vec<u8>,
    /// Whose it is, as it was told.
    pub user: Vec<u8>,
    /// How often it has signed.
    pub counter: u32,
    /// Whether it knows who holds it.
    pub verifies: bool,
}

/// What authenticator data says: somebody was there; it knows who; a key follows.
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const KEY: u8 = 1 << 6;

// === impl Device ===

impl Device {
    /// Makes a passkey by the options of a page of `origin`, and says what its browser sends.
    ///
    /// # Errors
    /// When something is missing in the options.
    pub fn make(options: &Value, origin: &str) -> Result<(Self, String)> {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| failed())?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        let asked = &options["publicKey"];
        let mut credential = vec![0; 16];
        rand::rng().fill_bytes(&mut credential);
        let device = Self {
            key: key.map_err(|_| failed())?,
            credential,
            user: BASE64.decode(text(&asked["user"]["id"])?)?,
            counter: 0,
            verifies: true,
        };
        let client = client("webauthn.create", asked, origin)?;
        let name = text(&asked["rp"]["id"])?;
        let data = [device.data(name, KEY), device.attested()?].concat();
        // CBOR: a map of three.
        let attestation = [
            &b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"[..],
            &[u8::try_from(data.len())?],
            &data,
        ];
        let response = json!({
            "attestationObject": BASE64.encode(attestation.concat()),
            "clientDataJSON": BASE64.encode(client),
            "transports": ["internal"],
        });
        let said = device.said(response);
        Ok((device, said))
    }

    /// Signs by the options of a page of `origin`, and says what its browser sends.
    ///
    /// # Errors
    /// When something is missing in the options.
    pub fn sign(&mut self, options: &Value, origin: &str) -> Result<String> {
        let asked = &options["publicKey"];
        let client = client("webauthn.get", asked, origin)?;
        self.counter += 1;
        let data = self.data(text(&asked["rpId"])?, 0);
        let signed = [&data[..], digest(&SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed);
        let signature = signature.map_err(|_| failed())?;
        Ok(self.said(json!({
            "authenticatorData": BASE64.encode(data),
            "clientDataJSON": BASE64.encode(client),
            "signature": BASE64.encode(signature),
            "userHandle": BASE64.encode(&self.user),
        })))
    }

    fn said(&self, response: Value) -> String {
        let id = BASE64.encode(&self.credential);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response }).to_string()
    }

    /// What is signed of the device: for whom, who was there, and how often it has signed.
    fn data(&self, name: &str, more: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = digest(&SHA256, name.as_bytes()).as_ref().to_vec();
        data.push(PRESENT | verified | more);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// The new key: a device of no known make, what it calls the key, and the key in COSE.
    fn attested(&self) -> Result<Vec<u8>> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point.split_at_checked(33).context("no point")?;
        let (_, x) = x.split_first().context("no point")?;
        let length = u16::try_from(self.credential.len())?.to_be_bytes();
        // A map of five: kind, algorithm, curve and the two halves.
        let key = [
            &b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"[..],
            x,
            b"\x22\x58\x20",
            y,
        ];
        Ok([&[0; 16][..], &length, &self.credential, &key.concat()].concat())
    }
}

/// What the browser says of the page.
fn client(kind: &str, asked: &Value, origin: &str) -> Result<Vec<u8>> {
    let challenge = text(&asked["challenge"])?;
    let client =
        json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false });
    Ok(client.to_string().into_bytes())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("the options say too little")
}

fn failed() -> anyhow::Error {
    anyhow!("the device cannot sign")
}
