// Credit is bought: at the simulated Stripe, which AIO_STRIPE tells.
import { BASE, wanted } from "./house.mjs";

/** Where the simulated Stripe is. */
const STRIPE = new URL(wanted("AIO_STRIPE")).origin;

/** Buys the smallest pack from the page of live credits, and is back at the order. */
export async function buy(house, page) {
  house.origins.push(STRIPE);
  await page.getByRole("button", { name: /^Buy/ }).first().click();
  const pay = page.getByRole("link", { name: /pay/i }).first();
  await Promise.race([page.waitForURL(`${STRIPE}/**`), pay.waitFor()]);
  if (!page.url().startsWith(STRIPE)) {
    await house.barriers(page);
    await pay.click();
    await page.waitForURL(`${STRIPE}/**`);
  }
  await page.getByRole("button", { name: /^Pay/ }).click();
  await page.waitForURL(`${BASE}/**`);
}

/** Looks at what is live, buys there, and waits until the order has an invoice. */
export async function buyLive(house, page) {
  await page.goto(`${BASE}/credits`);
  await page.getByRole("button", { name: "Live", exact: true }).click();
  await buy(house, page);
  // The page looks again by itself until the payment is known.
  await page.getByRole("link", { name: "Invoice" }).waitFor();
}
