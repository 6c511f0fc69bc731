// Opens each kind of study in OHIF, in a real browser, on a fresh stack (tests/integration/stack.py).
// Screenshots: build/e2e/NAME.png. Last line: N passed, N failed, N skipped
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enter, launch, waitDrawn } from './lib/browser.mjs';

const here = dirname(fileURLToPath(import.meta.url)), root = join(here, '../..');
const base = process.env.ZPACS_TEST_WEB, token = process.env.ZPACS_TEST_TOKEN;
const out = join(root, 'build/e2e'), shared = join(root, '../shared/data/good');
const authorization = { Authorization: `Bearer ${token}` };
mkdirSync(out, { recursive: true });
const made = mkdtempSync(join(tmpdir(), 'zpacs-e2e-'));
execFileSync('/usr/bin/python3', [join(here, 'make_data.py'), made]);

// Stores files as STOW-RS does and gives back their study.
async function stow(paths) {
  const part = path => Buffer.concat([Buffer.from('--e2e\r\nContent-Type: application/dicom\r\n\r\n'), readFileSync(path), Buffer.from('\r\n')]);
  const answer = await fetch(`${base}/dicom-web/studies`, {
    method: 'POST', headers: { ...authorization, 'Content-Type': 'multipart/related; type="application/dicom"; boundary=e2e', Accept: 'application/dicom+json' },
    body: Buffer.concat([...paths.map(part), Buffer.from('--e2e--\r\n')]),
  });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`STOW ${answer.status} ${text.slice(0, 300)}`);
  const url = JSON.parse(text)['00081199'].Value[0]['00081190'].Value[0];
  return /studies\/([0-9.]+)/.exec(url)[1];
}

async function qido(path) {
  const answer = await fetch(`${base}/dicom-web/${path}`, { headers: { ...authorization, Accept: 'application/dicom+json' } });
  return answer.status === 204 ? [] : answer.json();
}

async function openStudy(page, study) {
  await page.goto(`${base}/ohif/viewer?StudyInstanceUIDs=${study}`, { waitUntil: 'domcontentloaded' });
  page.getByRole('button', { name: /confirm and hide/i }).click({ timeout: 30000 }).catch(() => {});
}

// A text or an error message on black would pass for a picture: the frame itself must have come.
const image = limits => async ({ page, log }, study) => {
  await openStudy(page, study);
  await waitDrawn(page, limits);
  const missing = log.failed.filter(line => line.includes('/frames/'));
  if (missing.length) throw new Error(`no frame: ${missing}`);
};

// Draws a length, saves it as a report, and finds the report in the archive.
async function measure({ page }, study) {
  await openStudy(page, study);
  await waitDrawn(page);
  const { x, y, width, height } = await page.locator('[data-cy="viewport-grid"] canvas').first().boundingBox();
  await page.locator('[data-cy="MeasurementTools-split-button-primary"]').click();
  await page.mouse.click(x + width * 0.4, y + height * 0.4);
  await page.mouse.move(x + width * 0.5, y + height * 0.5, { steps: 5 });
  await page.mouse.click(x + width * 0.6, y + height * 0.55);
  await page.locator('[data-cy="prompt-begin-tracking-yes-btn"]').click({ timeout: 15000 });
  await page.locator('[data-cy="trackedMeasurements-btn"]').click({ timeout: 15000 });
  await page.getByRole('button', { name: /create sr/i }).first().click({ timeout: 15000 });
  await page.getByPlaceholder(/report name/i).fill('End to end');
  await page.getByRole('button', { name: /^save$/i }).click();
  for (let i = 0; i < 60; i++) {
    if ((await qido(`studies/${study}/series?Modality=SR`)).length === 1) return;
    await page.waitForTimeout(500);
  }
  throw new Error('the saved report is not in the archive');
}

const real = name => existsSync(join(shared, name)) && [join(shared, name)];
const phantom = readdirSync(made).filter(name => name.startsWith('ct-')).map(name => join(made, name));
const checks = [
  ['list', phantom, async ({ page }) => {
    await page.goto(`${base}/ohif/`, { waitUntil: 'domcontentloaded' });
    await page.getByText('Phantom', { exact: false }).first().waitFor({ timeout: 60000 });
  }],
  ['ct', phantom, image()],
  ['ct-real', real('dicomParser__testImages_CT1_UNC.implicit_little_endian.dcm'), image()],
  ['mr', real('pydicom-data__data_MR-SIEMENS-DICOM-WithOverlays.dcm'), image()],
  ['cr-monochrome1', real('fo-dicom__Test_Data_CR-ModalitySequenceLUT.dcm'), image()],
  ['dx-monochrome1', real('highdicom__test_files_dx_image.dcm'), image()],
  ['us-multiframe', real('dicomParser__multi-frame_IM00001.implicit_little_endian.dcm'), image()],
  ['us-multiframe-jpeg', real('pydicom__test_files_examples_ybr_color.dcm'), image()],
  ['pdf', [join(made, 'pdf.dcm')], async ({ page }, study) => {
    await openStudy(page, study);
    await page.locator('object[type="application/pdf"], embed[type="application/pdf"]').first().waitFor({ timeout: 60000 });
    const bytes = await page.evaluate(async () => {
      const shown = document.querySelector('object[type="application/pdf"], embed[type="application/pdf"]');
      const address = shown.data || shown.src;
      return address ? [...new Uint8Array(await (await fetch(address)).arrayBuffer()).slice(0, 8)] : [];
    });
    const head = String.fromCharCode(...bytes);
    if (head !== '%PDF-1.4') throw new Error(`the viewer got no PDF but '${head}'`);
    await waitDrawn(page, { selector: '[data-cy="viewport-grid"]', timeout: 30000, minLevels: 3, minOff: 0.01 });
  }],
  ['sr', real('pydicom__test_files_reportsi.dcm'), async ({ page }, study) => {
    await openStudy(page, study);
    await page.getByText(/Dose|Radiograph|Chest|Findings?|Report/i).nth(1).waitFor({ timeout: 60000 });
    await page.waitForTimeout(1500);
  }],
  ['measurement', phantom, measure],
];

let passed = 0, failed = 0, skipped = 0;
const only = process.argv.slice(2), browser = await launch();
for (const [name, files, check] of checks) {
  if (only.length && !only.includes(name)) continue;
  if (!files) { skipped++; console.log(`skip ${name}: no ../shared/data`); continue; }
  const began = Date.now();
  let session;
  try {
    const study = await stow(files);
    session = await enter(browser, base, token);
    await check(session, study);
    if (session.log.foreign.length) throw new Error(`requests to elsewhere: ${session.log.foreign}`);
    if (session.log.policy.length) throw new Error(`against the page's policy: ${session.log.policy[0]}`);
    passed++;
    console.log(`ok   ${name} ${Date.now() - began} ms${session.log.failed.length ? ' refused: ' + [...new Set(session.log.failed)].join(', ') : ''}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name} ${String(error.message).slice(0, 700)} ${session?.log.failed.join(', ') ?? ''}`);
  } finally {
    await session?.page.screenshot({ path: join(out, `${name}.png`) }).catch(() => {});
    await session?.context.close();
  }
}
await browser.close();
rmSync(made, { recursive: true });
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
