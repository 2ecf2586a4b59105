// What the playground's script stands on: the API, called with a key that lives for minutes and is kept nowhere but here, and what it made, shown.
const playgroundApi = (() => {
  /** Why something did not work, for the reader. */
  class Told extends Error {
    constructor(message, more = {}) {
      super(message);
      Object.assign(this, more);
    }
  }

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const plural = (count, word) => `${count} ${word}${count === "1" ? "" : "s"}`;
  /** Micro-credits as credits, exact. */
  const amount = (micros) => {
    const whole = Math.floor(micros / 1e6).toString().replace(/\B(?=(\d{3})+$)/g, ",");
    const rest = String(micros % 1e6).padStart(6, "0").replace(/0+$/, "");
    return rest ? `${whole}.${rest}` : whole;
  };
  const credits = (micros) => plural(amount(micros), "credit");
  const seconds = (milliseconds) => (milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`);
  const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

  // --- the API

  let key = null;
  let asking = null;
  const currentKey = async () => {
    // A minute before its end it may end on the way.
    if (key && key.until > Date.now() + 60_000) return key.text;
    asking ??= (async () => {
      const response = await fetch("/playground/key", { method: "POST" });
      if (response.redirected) throw new Told("You are signed out: open the page again to sign in.");
      if (!response.ok) throw new Told("No key for this page could be made. Open the page again.");
      const made = await response.json();
      key = { text: made.key, until: Date.now() + made.expires_in * 1000 };
    })().finally(() => { asking = null; });
    await asking;
    return key.text;
  };

  const call = async (path, options = {}, again = true) => {
    const headers = new Headers(options.headers);
    headers.set("authorization", `Bearer ${await currentKey()}`);
    const response = await fetch(`/api/v1${path}`, { ...options, headers });
    if (response.status === 401 && again) {
      // Newer pages of the same reader have taken its place.
      key = null;
      return call(path, options, false);
    }
    return response;
  };
  const send = (path, body, signal) =>
    call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

  const refusal = async (response) => {
    try {
      const { error } = await response.json();
      return new Told(error.message, { ...error, message: error.message, status: response.status });
    } catch {
      return new Told(`The API cannot be reached here (${response.status}).`, { status: response.status });
    }
  };

  /** The data of each server-sent event. */
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        text += value;
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const lines = text.slice(0, end).split("\n").filter((line) => line.startsWith("data:"));
          text = text.slice(end + 2);
          if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  // --- what was made

  /** Our own files come from wherever this page is from. */
  const here = (link) => {
    const url = new URL(link, location.href);
    return /^\/(api\/)?v1\//.test(url.pathname) ? url.pathname + url.search : link;
  };
  const text = async (link) => {
    const said = await (await fetch(link)).text();
    try {
      const parsed = JSON.parse(said);
      return typeof parsed.text === "string" ? parsed.text : JSON.stringify(parsed, null, 2);
    } catch {
      return said;
    }
  };
  const pre = (said) => element("pre", { class: "pg-text", tabindex: "0" }, said);
  const figure = async (file, about) => {
    const link = here(file.url);
    const [group] = file.content_type.split("/");
    const what = file.title ?? about;
    const measures = { width: file.width, height: file.height };
    const media = {
      image: () => element("img", { src: link, alt: what, ...measures }),
      video: () => element("video", { src: link, controls: "", playsinline: "", "aria-label": what, ...measures }),
      audio: () => element("audio", { src: link, controls: "", "aria-label": what }),
    }[group];
    const shown = element("figure", {});
    if (file.image_url) shown.append(element("img", { class: "pg-sleeve", src: here(file.image_url), alt: "" }));
    if (file.title) shown.append(element("b", {}, file.title));
    shown.append(media ? media() : pre(await text(link)));
    if (file.lyrics) shown.append(element("details", {}, element("summary", {}, "Lyrics"), pre(file.lyrics)));
    const said = [file.content_type, file.width && `${file.width} × ${file.height}`, file.duration_seconds && seconds(file.duration_seconds * 1000), size(file.bytes)];
    shown.append(element("figcaption", { class: "soft" }, said.filter(Boolean).join(" · "), " · ", element("a", { href: link, target: "_blank", rel: "noopener" }, "Open")));
    return shown;
  };

  return { Told, element, plural, amount, credits, seconds, size, call, send, refusal, events, pre, figure };
})();
