// Passkeys: what the server wants signed is asked for, then the reader's device is, and what that says is sent by the form around. Without
// it people sign in by their passwords.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const keys = (listed) => (listed ?? []).map((key) => ({ ...key, id: bytes(key.id) }));

  const devices = {
    async create(asked) {
      const publicKey = {
        ...asked,
        challenge: bytes(asked.challenge),
        user: { ...asked.user, id: bytes(asked.user.id) },
        excludeCredentials: keys(asked.excludeCredentials),
      };
      const made = await navigator.credentials.create({ publicKey });
      const { attestationObject, clientDataJSON } = made.response;
      const transports = made.response.getTransports?.() ?? [];
      return said(made, { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON), transports });
    },
    async get(asked) {
      const publicKey = { ...asked, challenge: bytes(asked.challenge), allowCredentials: keys(asked.allowCredentials) };
      const signed = await navigator.credentials.get({ publicKey });
      const { authenticatorData, clientDataJSON, signature, userHandle } = signed.response;
      return said(signed, {
        authenticatorData: text(authenticatorData),
        clientDataJSON: text(clientDataJSON),
        signature: text(signature),
        userHandle: userHandle && text(userHandle),
      });
    },
  };
  const said = ({ id, rawId, type }, response) => JSON.stringify({ id, rawId: text(rawId), type, response });

  // What a reader is told, by what a browser calls it.
  const told = {
    NotAllowedError: "Your device has signed nothing: that was broken off, or took too long.",
    InvalidStateError: "This device keeps a passkey of yours for here already.",
  };
  const refused = (message) => Object.assign(new Error(message), { name: "Refused" });

  const ask = async (form) => {
    const answer = await fetch(form.dataset.begin, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const { publicKey, message } = await answer.json();
    if (!answer.ok) throw refused(message);
    form.elements.credential.value = await devices[form.dataset.passkey](publicKey);
    form.submit();
  };

  const prepare = (form) => {
    if (form.dataset.origin !== location.origin) {
      form.hidden = true;
      form.nextElementSibling.hidden = false;
      return;
    }
    const wrong = form.querySelector("[role=alert]");
    const button = form.querySelector("button");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      wrong.hidden = true;
      try {
        await ask(form);
      } catch (error) {
        wrong.textContent = told[error.name] ?? (error.name === "Refused" ? error.message : "That did not work. Load the page again, and try once more.");
        wrong.hidden = false;
      } finally {
        button.disabled = false;
      }
    });
  };

  addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-passkey]").forEach(prepare));
})();
