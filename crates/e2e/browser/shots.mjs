// By hand: pictures of every page, at three widths, in light and in dark, in the folder AIO_SHOTS:
// `cargo xtask test --shape embedded -- -E 'test(every_page_has_its_picture_taken)' --run-ignored only`. Without a cookie the pages behind
// that door are left out.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BASE, tell, wanted } from "./house.mjs";
import { Routes } from "./routes.mjs";
import { buyLive } from "./shop.mjs";

const WIDTHS = [390, 820, 1440];
const FOLDER = wanted("AIO_SHOTS");
/** Pages of one route. */
const MOST = Number(process.env.AIO_MOST ?? 1);

await tell(async (house) => {
  mkdirSync(FOLDER, { recursive: true });
  const all = JSON.parse(wanted("AIO_ROUTES"));
  const none = async () => {};
  const ours = new Routes(all, MOST);
  // Orders belong to the live balance, whose pages of credits have more to show than those of play money.
  const live = new Routes(all.filter((route) => route.startsWith("/credits")), MOST);
  for (const [cookie, routes, starts, before] of [
    ["", ours, ["/", "/sign-in", "/sign-up"], none],
    [process.env.AIO_COOKIE, ours, ["/home"], none],
    [process.env.AIO_COOKIE, live, ["/credits", "/credits/orders"], buyLive],
    [process.env.AIO_OPERATOR_COOKIE, ours, ["/operator"], none],
  ]) {
    if (cookie === undefined) continue;
    const page = cookie ? await house.signedIn(cookie) : await house.visitor();
    await before(house, page);
    const paths = [];
    await routes.walk(page, starts, async (_, path) => paths.push(path));
    for (const path of paths) {
      house.step = path;
      const plain = path === "/" ? "start" : path.slice(1).replace(/[/?=&]/g, "-");
      const name = routes === live ? `live-${plain}` : plain;
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(BASE + path);
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await page.screenshot({ path: join(FOLDER, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) console.error(`${path} is ${wide} pixels too wide at ${width}`);
      }
    }
  }
});
