// The report of `verify` as a person sees it: in a real browser, at two widths,
// light and dark, and by keyboard alone.
//
//   node browser.mjs REPORT.html FOLDER-FOR-PICTURES
//
// CHROMIUM names the browser.

import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [report, folder] = process.argv.slice(2);
let failed = 0;
let passed = 0;

function check(what, holds, seen = "") {
  if (holds) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`FAILED: ${what} ${seen}`);
  }
}

/** The contrast of two colours, as WCAG 2.2 reckons it. */
function contrast(one, other) {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      const part = c / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}

const numbers = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "chromium",
  args: ["--no-sandbox"],
});
for (const colorScheme of ["light", "dark"]) {
  for (const width of [400, 1400]) {
    const name = `${width} px, ${colorScheme}`;
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
    const trouble = [];
    page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
    page.on("pageerror", (error) => trouble.push(String(error)));
    page.on("requestfailed", (request) => trouble.push(request.url()));
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(report).href);
    check(`${name}: the console is empty`, trouble.length === 0, trouble.join("; "));
    const outside = asked.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"));
    check(`${name}: nothing is asked of anybody`, outside.length === 0, outside.join("; "));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`${name}: nothing sticks out`, wide <= width, `${wide} px`);
    const verdict = page.locator(".verdict");
    check(`${name}: the verdict is there`, await verdict.isVisible());
    const colours = await page.evaluate(() =>
      [".verdict", "h2", ".soft", ".mark", "small"].map((selector) => {
        const element = document.querySelector(selector);
        let ground = element;
        let behind = "rgba(0, 0, 0, 0)";
        while (ground && behind === "rgba(0, 0, 0, 0)") {
          behind = getComputedStyle(ground).backgroundColor;
          ground = ground.parentElement;
        }
        return { selector, front: getComputedStyle(element).color, behind };
      }),
    );
    for (const { selector, front, behind } of colours) {
      const ratio = contrast(numbers(front), numbers(behind));
      check(`${name}: ${selector} can be read`, ratio >= 4.5, ratio.toFixed(2));
    }
    const small = await page.evaluate(() =>
      [...document.querySelectorAll("body *")]
        .filter((e) => e.childNodes.length && !e.closest("svg") && !e.closest(".hidden"))
        .map((e) => Number.parseFloat(getComputedStyle(e).fontSize))
        .reduce((least, size) => Math.min(least, size), 99),
    );
    check(`${name}: no text is tiny`, small >= 12, `${small} px`);
    const picture = (name) => join(folder, `${name}-${width}-${colorScheme}.png`);
    await page.screenshot({ path: picture("report") });
    await page.screenshot({ path: picture("whole"), fullPage: true });
    // Everything that can be opened can be reached and opened by keyboard.
    const all = await page.locator("main > section > details > summary").count();
    const reached = new Set();
    for (let i = 0; i < 400; i += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        const suites = [...document.querySelectorAll("main > section > details > summary")];
        const outline = getComputedStyle(element).outlineStyle;
        return { suite: suites.indexOf(element), seen: outline !== "none", body: element === document.body };
      });
      if (at.body) {
        break;
      }
      if (at.suite >= 0) {
        check(`${name}: the focus on part ${at.suite} can be seen`, at.seen);
        reached.add(at.suite);
        const open = () => page.evaluate(() => document.activeElement.parentElement.open);
        const before = await open();
        await page.keyboard.press("Enter");
        check(`${name}: part ${at.suite} opens and closes by keyboard`, (await open()) !== before);
        if (!before) {
          await page.keyboard.press("Enter");
        }
      }
    }
    check(`${name}: every part is reached by keyboard`, reached.size === all, `${reached.size} of ${all}`);
    await page.close();
  }
}
await browser.close();
console.log(`browser: ${passed} checks passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
