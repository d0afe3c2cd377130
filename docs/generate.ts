/** Writes the pages that are printed from code; with `--check` it only says which of them are out of date, and exits 1. */
import { readFileSync, writeFileSync } from 'node:fs';
import { type Page, pages } from './pages.ts';

const place = (page: Page) => new URL(page.file, import.meta.url);

function isCurrent(page: Page): boolean {
  try {
    return readFileSync(place(page), 'utf8') === page.text;
  } catch {
    return false;
  }
}

const stale = pages().filter((page) => !isCurrent(page));
if (process.argv.includes('--check')) {
  for (const { file } of stale) {
    process.stdout.write(`docs/${file} is out of date: run \`npm run docs\`\n`);
  }
  if (stale.length > 0) process.exitCode = 1;
} else {
  for (const page of stale) {
    writeFileSync(place(page), page.text);
    process.stdout.write(`wrote docs/${page.file}\n`);
  }
}
