// A newcomer's way: sign up, make a key, try a chat, a picture and a song in the playground, watch a task finish, read a receipt, see what
// was used, hear of it by a webhook and have that told again, change the key's secret, buy credit.
import { BASE, equal, sure, tell, wanted } from "./house.mjs";
import { goTo, signUp } from "./door.mjs";
import { buy } from "./shop.mjs";

/** An endpoint that is told what happens, and answers 200. */
const HOOK = wanted("AIO_HOOK");

/** What an API key is answered. */
async function ask(key, path, body) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const init = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(`${BASE}/api/v1${path}`, init);
  return { status: answer.status, body: await answer.json() };
}

/** Opens a page until it shows what is waited for: what happens behind it takes a moment. */
async function until(page, shows, what) {
  for (let look = 0; look < 120; look += 1) {
    if (await shows()) return;
    await page.waitForTimeout(250);
    await page.reload({ waitUntil: "domcontentloaded" });
  }
  throw new Error(`${what} does not show up`);
}

/** Makes a key, and reads it. */
async function makeKey(house, page) {
  await goTo(page, "Keys");
  await house.barriers(page);
  await page.getByRole("link", { name: "New key", exact: true }).click();
  await page.getByLabel("Name", { exact: true }).fill("website");
  await house.barriers(page);
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = await page.locator("#secret").innerText();
  sure(/^aio_test_\w{42}$/.test(key), `no key: ${key}`);
  await house.barriers(page);
  equal((await ask(key, "/credits")).status, 200, "what the new key is answered");
  return key;
}

/** Opens a model in the playground. */
async function open(page, name) {
  await goTo(page, "Playground");
  await page.getByRole("link", { name: new RegExp(`^${name} `) }).first().click();
  await page.locator("#run").waitFor();
  // It says what it costs before it does.
  await page.waitForFunction(() => /\d/.test(document.querySelector("#price").textContent));
}

/** Waits until what runs has ended, well. */
async function ended(page) {
  await page.waitForFunction(() => /\d/.test(document.querySelector("#cost").textContent));
  equal(await page.locator("#error").isVisible(), false, "an error is shown");
}

async function chat(house, page) {
  await open(page, "Gemini");
  await page.locator("#prompt").fill("Say hello to a newcomer.");
  await page.locator("#run").click();
  await ended(page);
  sure((await page.locator("#output").innerText()).includes("newcomer"), "no answer");
  await house.barriers(page);
}

async function picture(house, page) {
  await open(page, "Z-Image");
  await page.locator("#prompt").fill("a fox in the snow");
  await page.locator("#run").click();
  await ended(page);
  const image = page.locator("#output img");
  await image.waitFor();
  await page.waitForFunction(() => document.querySelector("#output img").naturalWidth > 0);
  sure(await image.getAttribute("alt"), "the picture has no words");
  await house.barriers(page);
}

/** A song, whose task is watched. */
async function song(house, page) {
  await open(page, "Suno");
  const prompt = page.locator("#prompt");
  await prompt.fill("a song of a fox");
  await page.locator("#run").click();
  const live = new Set();
  await page.exposeFunction("seen", (text) => live.add(text));
  await page.evaluate(() => {
    const status = document.querySelector("#status");
    new MutationObserver(() => seen(status.textContent)).observe(status, { childList: true, characterData: true, subtree: true });
  });
  await ended(page);
  sure(live.size > 0, "nothing was told while the song was made");
  await page.waitForFunction(() => {
    const sound = document.querySelector("#output audio");
    return sound && sound.readyState > 0 && sound.duration > 0;
  });
  await house.barriers(page);
}

/** A task of an API key, on its page from the start to the end. */
async function task(house, page, key) {
  const body = { model: "z-image", prompt: "a fox [sandbox delay=3s]" };
  const { task_id } = (await ask(key, "/images/generations", body)).body.data;
  await goTo(page, "Tasks");
  await page.locator(`a[href="/tasks/${task_id}"]`).click();
  const state = page.locator('[data-part="now"]');
  sure(/queued|processing|waiting|running/i.test(await state.innerText()), `it has begun: ${await state.innerText()}`);
  await house.barriers(page);
  // Nothing is loaded anew: the page follows.
  await page.evaluate(() => { globalThis.stayed = true; });
  await state.getByText(/completed|done/i).first().waitFor();
  await page.waitForFunction(() => document.querySelector(".tk-outputs img")?.naturalWidth > 0);
  sure(await page.evaluate(() => globalThis.stayed), "the page was loaded anew");
  await house.barriers(page);
}

/** The receipt of the task, whose page is open. */
async function receipt(house, page) {
  const link = page.getByRole("link", { name: /receipt/i });
  await until(page, async () => (await link.count()) > 0, "the receipt");
  await link.first().click();
  await page.waitForURL("**/requests/*");
  sure(/adds up/.test(await page.locator("main").innerText()), "nobody says that it adds up");
  await house.barriers(page);
}

async function usage(house, page) {
  await goTo(page, "Usage");
  await until(page, async () => /[1-9]/.test(await page.locator(".stat dd").first().innerText()), "what was used");
  sure((await page.locator("main svg").count()) > 0, "no chart");
  await house.barriers(page);
}

/** Registers an endpoint, lets something happen, and has that told again. */
async function webhook(house, page, key) {
  await goTo(page, "Webhooks");
  await house.barriers(page);
  await page.getByRole("link", { name: "Add an endpoint" }).click();
  await page.getByLabel("URL", { exact: true }).fill(HOOK);
  await house.barriers(page);
  await page.getByRole("button", { name: "Add the endpoint" }).click();
  await page.getByText(/whsec_/).first().waitFor();
  await house.barriers(page);
  await page.getByRole("link", { name: "Done" }).click();
  await ask(key, "/images/generations", { model: "z-image", prompt: "a fox [sandbox delay=10ms]" });
  await goTo(page, "Webhooks");
  await page.getByRole("link", { name: "Deliveries", exact: true }).click();
  const delivery = page.getByRole("row", { name: /task\.completed/ }).getByRole("link").first();
  await until(page, async () => (await delivery.count()) > 0, "the delivery");
  await delivery.click();
  const again = page.getByRole("button", { name: "Send it again" });
  await until(page, () => again.isVisible(), "the first attempt");
  await house.barriers(page);
  const attempts = page.getByRole("region", { name: "Table of attempts" }).locator("tbody tr");
  const first = await attempts.count();
  await again.click();
  await page.waitForURL("**?said=*");
  await until(page, async () => (await attempts.count()) > first, "the second attempt");
  await house.barriers(page);
}

/** Gives the key another secret; both work for a while. */
async function rotate(house, page, key) {
  await goTo(page, "Keys");
  await page.getByRole("link", { name: "website" }).click();
  await page.getByRole("button", { name: "Rotate" }).click();
  const next = await page.locator("#secret").innerText();
  sure(next !== key && next.startsWith("aio_test_"), "no other secret");
  for (const secret of [key, next]) equal((await ask(secret, "/credits")).status, 200, "what either is answered");
}

/** Buys the smallest pack at the simulated Stripe. */
async function topUp(house, page) {
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await goTo(page, "Credits");
  await house.barriers(page);
  await buy(house, page);
  await goTo(page, "Credits");
  await until(page, async () => /1.?000/.test(await page.locator(".stat dd").first().innerText()), "the credit");
  await house.barriers(page);
}

await tell(async (house) => {
  const page = await house.visitor();
  await house.does("sign up", () => signUp(page, "Newcomer"));
  await house.does("look at the first page", () => house.barriers(page));
  const key = await house.does("make a key", () => makeKey(house, page));
  await house.does("try a chat", () => chat(house, page));
  await house.does("try a picture", () => picture(house, page));
  await house.does("try a song", () => song(house, page));
  await house.does("watch a task", () => task(house, page, key));
  await house.does("read its receipt", () => receipt(house, page));
  await house.does("see what was used", () => usage(house, page));
  await house.does("hear of a task, twice", () => webhook(house, page, key));
  await house.does("change the key", () => rotate(house, page, key));
  await house.does("buy credit", () => topUp(house, page));
});
