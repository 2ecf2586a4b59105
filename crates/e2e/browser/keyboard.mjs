// The keyboard alone: somebody signs up, makes a key and runs a chat without a mouse. Wherever the focus is, it can be seen.
import { BASE, equal, sure, tell, wanted } from "./house.mjs";

/** Steps from one place of a page to another, at most. */
const STEPS = 120;

/** What has the focus: what it is called, and whether its reader sees that it has it. */
function focused() {
  const it = document.activeElement;
  const style = getComputedStyle(it);
  const label = it.getAttribute("aria-label") ?? it.labels?.[0]?.innerText ?? it.innerText ?? "";
  return {
    name: label.trim(),
    id: it.id,
    tag: it.tagName.toLowerCase(),
    shows: style.outlineStyle !== "none" && style.outlineWidth !== "0px",
    body: it === document.body,
  };
}

/** Waits until the page of this path is there. */
async function arrives(page, path) {
  await page.waitForURL((url) => url.pathname === path);
}

/** Presses Tab until what `is` wants has the focus. */
async function to(page, what, is) {
  const passed = [];
  for (let step = 0; step < STEPS; step += 1) {
    await page.keyboard.press("Tab");
    const found = await page.evaluate(focused);
    if (found.body) continue;
    passed.push(`${found.tag} ${found.name.slice(0, 30)}`);
    sure(found.shows, `nobody sees that the focus is at ${found.tag} ${found.id} ${found.name}`);
    if (is(found)) return;
  }
  throw new Error(`Tab does not lead to ${what}: ${passed.join(", ")}`);
}

/** To a field, and writes. */
async function write(page, name, text) {
  await to(page, name, (found) => ["input", "textarea"].includes(found.tag) && found.name.startsWith(name));
  await page.keyboard.type(text);
}

/** To a link or a button, and presses it. */
async function press(page, tag, name) {
  await to(page, `${tag} ${name}`, (found) => found.tag === tag && found.name.startsWith(name));
  await page.keyboard.press("Enter");
}

await tell(async (house) => {
  const page = await house.visitor();
  await house.does("the first stop leads past the navigation", async () => {
    await page.goto(`${BASE}/sign-up`);
    await page.keyboard.press("Tab");
    equal((await page.evaluate(focused)).name, "Skip to the content", "the first stop");
    await page.keyboard.press("Enter");
    equal(new URL(page.url()).hash, "#main", "where it leads");
  });
  await house.does("sign up", async () => {
    await write(page, "Name", "Keys");
    await write(page, "E-mail", "keys@example.com");
    await write(page, "Password", wanted("AIO_PASSWORD"));
    await press(page, "button", "Sign up");
    await arrives(page, "/home");
  });
  await house.does("make a key", async () => {
    await press(page, "a", "Keys");
    await arrives(page, "/keys");
    await press(page, "a", "New key");
    await arrives(page, "/keys/new");
    await write(page, "Name", "website");
    await press(page, "button", "Make the key");
    await page.locator(".secret").first().waitFor();
    sure((await page.locator(".secret").first().innerText()).startsWith("aio_test_"), "no key is shown");
  });
  await house.does("run a chat", async () => {
    await press(page, "a", "Playground");
    await arrives(page, "/playground");
    await press(page, "a", "Gemini");
    await arrives(page, "/playground/gemini");
    await to(page, "the prompt", (found) => found.id === "prompt");
    await page.keyboard.type("Say hello.");
    await to(page, "the button that runs it", (found) => found.id === "run");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#cost")?.textContent.match(/\d/));
    sure((await page.locator("#output").innerText()).includes("hello"), "no answer");
  });
});
