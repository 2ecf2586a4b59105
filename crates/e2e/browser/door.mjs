// How somebody comes in.
import { BASE, wanted } from "./house.mjs";

/** Signs somebody up on the page of a browser, and ends at home. */
export async function signUp(page, name) {
  await page.goto(`${BASE}/sign-up`);
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("E-mail", { exact: true }).fill(`${name.toLowerCase()}@example.com`);
  await page.getByLabel("Password", { exact: true }).fill(wanted("AIO_PASSWORD"));
  await page.getByRole("button", { name: "Sign up" }).click();
  await page.waitForURL("**/home");
}

/** Goes to a part of the dashboard by its navigation. */
export async function goTo(page, part) {
  await page.getByRole("navigation", { name: "Dashboard" }).getByRole("link", { name: part, exact: true }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
}
