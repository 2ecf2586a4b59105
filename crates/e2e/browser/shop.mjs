// Credit is bought: at the simulated Stripe, which AIO_STRIPE tells.
import { BASE, wanted } from "./house.mjs";

/** Buys the smallest pack from the page of live credits, and is back at the order. */
export async function buy(house, page) {
  const stripe = new URL(wanted("AIO_STRIPE")).origin;
  house.origins.push(stripe);
  await page.getByRole("button", { name: /^Buy/ }).first().click();
  const pay = page.getByRole("link", { name: /pay/i }).first();
  await Promise.race([page.waitForURL(`${stripe}/**`), pay.waitFor()]);
  if (!page.url().startsWith(stripe)) {
    await house.barriers(page);
    await pay.click();
    await page.waitForURL(`${stripe}/**`);
  }
  await page.getByRole("button", { name: /^Pay/ }).click();
  await page.waitForURL(`${BASE}/**`);
  house.origins = house.origins.filter((origin) => origin !== stripe);
}

/** Looks at what is live, buys there, and waits until the order has an invoice. */
export async function buyLive(house, page) {
  await page.goto(`${BASE}/credits`);
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await buy(house, page);
  // The page looks again by itself until the payment is known.
  await page.getByRole("link", { name: "Invoice" }).waitFor();
}
