// What the stories have in common: the browser, pages that are watched for what they should not do, axe, and steps that say their name
// when they fail. Where the pages are, and whatever else a story needs, is told by the environment.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

/** Where the pages are, without a slash at the end. */
export const BASE = wanted("AIO_PAGES");
/** Milliseconds that a page may take to come to what is waited for. */
const PATIENCE = 30_000;
/** How much of a page may move while it loads; what browsers call good is 0.1. */
const SHIFT = 0.02;
/** Bytes that a page with its style and scripts may have over the wire, for who comes for the first time. */
const BYTES = 100_000;
/** What browsers are called. */
const PROGRAMS = ["chromium", "chromium-browser", "google-chrome"];

/** A variable that the story cannot do without. */
export function wanted(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

function program() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = PROGRAMS.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (!found) throw new Error("there is no browser: apt-get install chromium");
  return found;
}

/** Starts a browser, gives it to the story, and ends with what its pages did that they should not. */
export async function tell(story) {
  const browser = await chromium.launch({
    executablePath: program(),
    // Root may not have its sandbox, and containers have no room for shared memory.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const house = new House(browser);
  try {
    await story(house);
    house.check();
  } catch (error) {
    console.error(`${house.step}: ${error.stack ?? error}`);
    await house.look();
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

class House {
  /** What is being done, for the one who reads why it failed. */
  step = "start";
  /** What pages did that they should not. */
  problems = [];
  /** Other origins that a story goes to. */
  origins = [new URL(BASE).origin];

  constructor(browser) {
    this.browser = browser;
  }

  /** A browser of somebody's own, with a page. */
  async visitor(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    const scripted = options.javaScriptEnabled !== false;
    if (scripted) {
      // Not through the page, whose policy lets no script in that is not its own.
      await context.addInitScript({ content: axe.source });
      await context.addInitScript(() => {
        globalThis.shifted = 0;
        new PerformanceObserver((list) => {
          for (const shift of list.getEntries()) if (!shift.hadRecentInput) globalThis.shifted += shift.value;
        }).observe({ type: "layout-shift", buffered: true });
      });
    }
    const page = await context.newPage();
    this.watch(page);
    return page;
  }

  /** Lets a browser be signed in by `name=value`. */
  async signedIn(cookie, options) {
    const page = await this.visitor(options);
    const [name, ...value] = cookie.split("=");
    await page.context().addCookies([{ name, value: value.join("="), url: BASE }]);
    return page;
  }

  watch(page) {
    this.page = page;
    const note = (what) => {
      const url = new URL(page.url());
      // What others say on their own pages is theirs.
      if (url.origin === new URL(BASE).origin) this.problems.push(`${this.step}: ${url.pathname}: ${what}`);
    };
    page.on("console", (message) => {
      if (message.type() === "error") note(message.text());
    });
    page.on("pageerror", (error) => note(`the script fails: ${error.message}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && !this.origins.includes(url.origin)) note(`asks ${url.origin}`);
    });
  }

  /** One step of a story. */
  async does(step, act) {
    this.step = step;
    const began = Date.now();
    const made = await act();
    if (process.env.AIO_VERBOSE) console.error(`${Date.now() - began} ms: ${step}`);
    return made;
  }

  /** Has axe look at the page as it is, in light and in dark. */
  async barriers(page) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      // Of what depends on colours there is one rule.
      const only = colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {};
      const found = await page.evaluate((only) => axe.run(document, { ...only, resultTypes: ["violations"] }), only);
      for (const { id, help, nodes } of found.violations) {
        const where = nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.any.map((check) => check.message).join("; ")}`);
        this.problems.push(`${this.step}: ${new URL(page.url()).pathname}, ${colorScheme}: ${id}: ${help}: ${where.join(" | ")}`);
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
  }

  /** What of the page has moved since it came, though nobody touched it. */
  async still(page) {
    const shifted = await page.evaluate(() => globalThis.shifted);
    if (shifted > SHIFT) this.problems.push(`${this.step}: ${new URL(page.url()).pathname} moves while it loads: ${shifted.toFixed(3)}`);
  }

  /** How much of the page goes over the wire: what tasks have made is not of the page. */
  async light(page) {
    const bytes = await page.evaluate(() => {
      const parts = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
      const own = parts.filter(({ entryType, name }) => entryType === "navigation" || new URL(name).pathname.startsWith("/assets/"));
      return own.reduce((sum, part) => sum + part.encodedBodySize, 0);
    });
    if (process.env.AIO_VERBOSE) console.error(`${bytes} bytes: ${new URL(page.url()).pathname}`);
    if (bytes > BYTES) this.problems.push(`${this.step}: ${new URL(page.url()).pathname} has ${bytes} bytes`);
  }

  /** Fails if a page did what it should not. */
  check() {
    const problems = [...new Set(this.problems)];
    if (problems.length) throw new Error(`${problems.length} problems:\n${problems.join("\n")}`);
  }

  /** Shows what the reader of a failure wants to see. */
  async look() {
    const { page } = this;
    if (!page || page.isClosed()) return;
    const text = await page.locator("main").innerText({ timeout: 1_000 }).catch(() => "");
    console.error(`at ${page.url()}:\n${text.slice(0, 2_000)}`);
    const folder = process.env.AIO_SHOTS;
    if (folder) await page.screenshot({ path: join(folder, "failed.png"), fullPage: true });
  }
}

/** Whether what was found is what was expected. */
export function equal(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`);
}

/** Whether something holds. */
export function sure(holds, what) {
  if (!holds) throw new Error(what);
}
