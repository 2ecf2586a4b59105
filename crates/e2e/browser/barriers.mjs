// Every page, public and behind the door, in light and in dark, by axe: nothing that keeps anybody out. What a page says to the console,
// asks of others or moves while it loads, and a page that is heavy, is a mistake too.
import { BASE, equal, tell, wanted } from "./house.mjs";
import { Routes } from "./routes.mjs";
import { buyLive } from "./shop.mjs";

/** Pages of one route that are looked at: models and guides differ. */
const MOST = 3;
/** Routes that no link of a page leads to: links in letters, what scripts ask, what only those have whose events were given up. */
const ALONE = [
  "/sign-in/first",
  "/reset",
  "/confirm",
  "/invite",
  "/tasks/{id}/state",
  "/webhooks/deliveries/{id}/state",
  "/operator/webhooks/{id}",
];
/** What a route without a page of its own to look at is: forms are sent there, and programs ask there. */
const PAGES = JSON.parse(wanted("AIO_ROUTES"));

await tell(async (house) => {
  const routes = new Routes(PAGES, MOST);
  const visit = (page, starts) =>
    house.does("look", () =>
      routes.walk(page, starts, async (page, path, answer) => {
        house.step = path;
        equal(answer.status(), 200, path);
        await house.barriers(page);
        await house.still(page);
        await house.light(page);
      }),
    );
  await visit(await house.visitor(), ["/", "/sign-in", "/sign-up"]);
  const member = await house.signedIn(wanted("AIO_COOKIE"));
  await visit(member, ["/home"]);
  // Orders are paid for with money.
  await house.does("buy credit", () => buyLive(house, member));
  await visit(member, ["/credits/orders"]);
  await visit(await house.signedIn(wanted("AIO_OPERATOR_COOKIE")), ["/operator"]);
  await house.does("a page that is not there", async () => {
    const page = await house.visitor();
    await page.goto(`${BASE}/nowhere`);
    await house.barriers(page);
    // The browser itself says that there was none.
    house.problems = house.problems.filter((problem) => !problem.includes("404 (Not Found)"));
  });
  const missed = await house.does("routes without a page", () => routes.missed(house.page));
  house.problems.push(...missed.filter((route) => !ALONE.includes(route)).map((route) => `no link leads to ${route}`));
});
