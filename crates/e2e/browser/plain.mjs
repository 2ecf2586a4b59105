// Without a script: somebody signs up, makes a key and sees what it has used.
import { BASE, equal, sure, tell } from "./house.mjs";
import { goTo, signUp } from "./door.mjs";

await tell(async (house) => {
  const page = await house.visitor({ javaScriptEnabled: false });
  await house.does("sign up", () => signUp(page, "Plain"));
  const key = await house.does("make a key", async () => {
    await goTo(page, "Keys");
    await page.getByRole("link", { name: "New key", exact: true }).click();
    await page.getByLabel("Name", { exact: true }).fill("website");
    await page.getByRole("button", { name: "Make the key" }).click();
    return page.locator("#secret").innerText();
  });
  await house.does("use it", async () => {
    const answer = await fetch(`${BASE}/api/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "gemini", messages: [{ role: "user", content: "Hello" }] }),
    });
    equal(answer.status, 200, "what the key is answered");
  });
  await house.does("see what was used", async () => {
    await goTo(page, "Usage");
    // What was used is summed up behind the answer.
    for (let look = 0; look < 120 && !/gemini/i.test(await page.locator("main").innerText()); look += 1) {
      await page.waitForTimeout(250);
      await page.goto(`${BASE}/usage`);
    }
    sure(/gemini/i.test(await page.locator("main").innerText()), "nothing was used");
  });
  await house.does("the price of a song", async () => {
    await page.goto(`${BASE}/playground/kling-3`);
    await page.getByRole("button", { name: "Calculate" }).click();
    sure(/\d/.test(await page.locator("#price").innerText()), "no price");
    // A browser that is told to run no scripts shows this; one that is driven does not.
    sure((await page.content()).includes("needs JavaScript"), "nobody says what does not work");
  });
});
