// A browser that talks to the stack only, and judges by the picture.
import { chromium } from 'playwright-core';
import { decodePng, imageStats, looksDrawn } from './png.mjs';

const FLAGS = [
  '--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-extensions', '--disable-dev-shm-usage', '--hide-scrollbars',
  // WebGL in software: a test machine has no graphics card
  '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist',
];
// Text and marks are hidden while measuring, so that only pixels of the image count.
const BARE = 'svg, [class*="overlay" i], [data-cy*="overlay"] { visibility: hidden !important; }';

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS });

// A page that entered by the start link, as a person does.
export async function enter(browser, base, token) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  const log = { foreign: [], failed: [], policy: [] };
  await context.route(url => /^https?:$/.test(url.protocol) && url.origin !== base, route => {
    log.foreign.push(route.request().url());
    return route.abort();
  });
  // The product tour lies over the picture.
  await context.addInitScript(() => {
    try {
      localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour', 'basicTour']));
      sessionStorage.setItem('investigationalUseDialog', 'hidden');
    } catch { /* a page without storage */ }
  });
  const page = await context.newPage();
  page.on('console', message => /Content Security Policy/.test(message.text()) && log.policy.push(message.text()));
  page.on('response', r => r.status() >= 400 && log.failed.push(`${r.status()} ${r.request().method()} ${new URL(r.url()).pathname}`));
  await page.goto(`${base}/start?token=${token}`, { waitUntil: 'domcontentloaded' });
  return { context, page, log };
}

async function pictures(page, selector) {
  const boxes = await page.evaluate(q => [...document.querySelectorAll(q)].map(e => e.getBoundingClientRect().toJSON()), selector);
  const large = boxes.filter(b => b.width >= 100 && b.height >= 100);
  if (!large.length) return [];
  const image = decodePng(await page.screenshot({ style: BARE, timeout: 60000 }));
  return large.map(box => imageStats(image, box));
}

// Waits until the picture holds an image in two looks in a row.
export async function waitDrawn(page, { selector = '[data-cy="viewport-grid"] canvas', timeout = 90000, ...limits } = {}) {
  const end = Date.now() + timeout;
  let seen = [], good = 0;
  while (Date.now() < end) {
    seen = await pictures(page, selector).catch(error => [{ error: String(error).slice(0, 200) }]);
    good = seen.some(s => !s.error && looksDrawn(s, limits)) ? good + 1 : 0;
    if (good >= 2) return seen;
    await page.waitForTimeout(500);
  }
  throw new Error(`nothing drawn in ${timeout} ms: ${JSON.stringify(seen)}`);
}
