// By hand, while the machine has nothing else to do: what Lighthouse says of the pages that people see first, in all four categories, with
// their bytes over the wire and how much they move. No test of CI needs Lighthouse, so that package.json does not have it: run
// `npm install --no-save lighthouse` in target/browser/scripts, where `cargo xtask test` puts these scripts, and then
// `cargo xtask test --shape embedded -- -E 'test(lighthouse_)' --run-ignored only --no-capture`, which gives it pages that are lived in.
// AIO_PAGES says where the pages are; with AIO_COOKIE home is looked at too; AIO_FORM=desktop looks at them on a wide screen. It fails if
// a score is below 95.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";

const BASE = process.env.AIO_PAGES;
if (!BASE) throw new Error("AIO_PAGES is not set");
const COOKIE = process.env.AIO_COOKIE;
const LEAST = 0.95;
const PATHS = ["/", "/models", "/models/kling-3", "/pricing", "/docs/quick-start", "/docs/charges", "/docs/api"];
const PROGRAM = process.env.CHROME_PATH ?? "/usr/bin/chromium";
const REPORT = join(tmpdir(), `lighthouse-${process.pid}.json`);

/** What a program of this folder is started by. */
const bin = join(import.meta.dirname, "node_modules/.bin/lighthouse");

function look(path, headers) {
  const words = [BASE + path, "--quiet", "--output=json", `--output-path=${REPORT}`, "--chrome-flags=--headless --no-sandbox --disable-dev-shm-usage"];
  if (process.env.AIO_FORM === "desktop") words.push("--preset=desktop");
  // Pages behind the door are for nobody's search, and say so.
  if (headers) words.push(`--extra-headers=${JSON.stringify(headers)}`, "--skip-audits=is-crawlable");
  const ran = spawnSync(bin, words, { env: { ...process.env, CHROME_PATH: PROGRAM }, encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`${path}: ${ran.stderr}`);
  return JSON.parse(readFileSync(REPORT, "utf8"));
}

/** What is not perfect, for who mends it. */
function faults(report) {
  const weighed = Object.values(report.categories).flatMap((category) => category.auditRefs).filter(({ weight }) => weight > 0);
  const failed = weighed.map(({ id }) => report.audits[id]).filter(({ score }) => score !== null && score < 0.9);
  return failed.map(({ id, displayValue }) => (displayValue ? `${id} (${displayValue})` : id)).join(", ");
}

let low = 0;
console.log(`load ${loadavg()[0].toFixed(2)}`);
for (const path of [...PATHS, ...(COOKIE ? ["/home"] : [])]) {
  const report = look(path, path === "/home" ? { cookie: COOKIE } : undefined);
  const scores = Object.values(report.categories).map(({ id, score }) => `${id} ${Math.round(score * 100)}`);
  const { "total-byte-weight": bytes, "cumulative-layout-shift": shift } = report.audits;
  console.log(`${path}: ${scores.join(", ")}; ${bytes.numericValue} bytes, moves ${shift.numericValue.toFixed(3)}; ${faults(report)}`);
  if (Object.values(report.categories).some(({ score }) => score < LEAST)) low += 1;
}
process.exitCode = low ? 1 : 0;
