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
  const routes = new Routes(JSON.parse(wanted("AIO_ROUTES")), MOST);
  const none = async () => {};
  for (const [cookie, starts, before] of [
    ["", ["/", "/sign-in", "/sign-up"], none],
    [process.env.AIO_COOKIE, ["/home"], none],
    // Orders belong to the live balance.
    [process.env.AIO_COOKIE, ["/credits/orders"], buyLive],
    [process.env.AIO_OPERATOR_COOKIE, ["/operator"], none],
  ]) {
    if (cookie === undefined) continue;
    const page = cookie ? await house.signedIn(cookie) : await house.visitor();
    await before(house, page);
    const paths = [];
    await routes.walk(page, starts, async (_, path) => paths.push(path));
    for (const path of paths) {
      house.step = path;
      const name = path === "/" ? "start" : path.slice(1).replace(/[/?=&]/g, "-");
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
