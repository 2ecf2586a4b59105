// The pages of the program, found by following links, a few for each route of its table.
import { BASE } from "./house.mjs";

/** What is no page to look at: files, and the same as text. */
const FILES = /\.(md|txt|csv|json|zip)$|^\/assets\/|\/export$/;

/** A route of the table as what paths of it look like. */
function shape(route) {
  const parts = route.split("/").map((part) => {
    if (part.startsWith("{*")) return ".+";
    return part.startsWith("{") ? "[^/]+" : part.replace(/[.]/g, "\\.");
  });
  return new RegExp(`^${parts.join("/")}$`);
}

export class Routes {
  /** `routes`: the table's paths, with `{id}` for what varies. `most`: pages of one route that are looked at. */
  constructor(routes, most) {
    this.most = most;
    // What says more stands before what says less, as in `/models/compare` and `/models/{slug}`.
    const weight = (route) => (route.match(/\{/g) ?? []).length * 2 + (route.includes("{*") ? 1 : 0);
    this.routes = routes
      .filter((route) => !FILES.test(route))
      .sort((one, other) => weight(one) - weight(other))
      .map((route) => ({ route, shape: shape(route), paths: new Map() }));
  }

  /** The route of a path. */
  of(path) {
    return this.routes.find(({ shape }) => shape.test(path));
  }

  /** Opens page after page from `starts` on, and gives each of them to `look` once. */
  async walk(page, starts, look) {
    const queue = [...starts];
    const seen = new Set();
    while (queue.length) {
      const path = queue.shift();
      const [plain] = path.split("?");
      const known = this.of(plain);
      // Of a page with a question there are as many as there are questions.
      if (!known || seen.has(plain) || known.paths.size >= this.most) continue;
      seen.add(plain);
      const answer = await page.goto(BASE + path, { waitUntil: "load" });
      const kind = answer.headers()["content-type"] ?? "";
      const ends = new URL(page.url()).pathname;
      known.paths.set(plain, answer.status());
      if (!kind.startsWith("text/html")) continue;
      if (this.of(ends) === known) await look(page, path, answer);
      const links = await page.$$eval("a[href], form[action]:not([method=post])", (links) => links.map((link) => link.href ?? link.action));
      for (const link of links) {
        const url = new URL(link);
        if (url.origin === new URL(BASE).origin && !FILES.test(url.pathname)) queue.push(url.pathname);
      }
    }
  }

  /** Pages that no link led to: routes that are asked for nothing else than what forms send are none. */
  async missed(page) {
    const missed = [];
    for (const { route, paths } of this.routes) {
      if (paths.size) continue;
      const answer = await page.request.get(BASE + route.replace(/\{.*?\}/g, "x"), { maxRedirects: 0 });
      if (answer.status() !== 405) missed.push(route);
    }
    return missed;
  }
}
