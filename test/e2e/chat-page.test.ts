/** The chat example in a real browser, as `make try` starts it: everything in one process on the embedded broker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { type Browser, chromium, type Page } from 'playwright-core';
import { projectRoot } from '../support/scripts.ts';
import { skipBecause } from '../support/skip.ts';

const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** Root may not use Chromium's sandbox; the rest keeps it from calling home. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-sync',
];

describe('the chat page', function () {
  this.timeout(60_000);

  let example: ChildProcess | undefined;
  let browser: Browser | undefined;
  let url = '';

  before(async function () {
    const executablePath = browsers.find((path) => existsSync(path));
    if (executablePath === undefined) skipBecause(this, 'no Chromium on this machine');
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(projectRoot, 'examples/chat/main.ts'), '--embedded'],
      {
        env: {
          ...process.env,
          CHAT_PORT: '0',
          WARREN_PORT: '0',
          WARREN_METRICS_PORT: '0',
          WARREN_LOG_LEVEL: 'error',
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    example = child;
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      const [found] = /http:\S+/.exec(line) ?? [];
      if (found === undefined) continue;
      url = found;
      break;
    }
    browser = await chromium.launch({ executablePath, args: flags });
  });

  after(async () => {
    await browser?.close();
    if (example === undefined) return;
    const ended = once(example, 'exit');
    example.kill('SIGTERM');
    await ended;
  });

  async function enter(name: string): Promise<Page> {
    if (browser === undefined) throw new Error('no browser');
    const context = await browser.newContext({ viewport: { width: 390, height: 800 } });
    const page = await context.newPage();
    await page.goto(url);
    await page.getByLabel('Your name').fill(name);
    await page.keyboard.press('Enter');
    await page.locator('#state[data-state="connected"]').waitFor();
    return page;
  }

  it('carries what one person says to another, as text and not as markup', async () => {
    const [writer, reader] = [await enter('Writer'), await enter('Reader')];
    const text = '<b>hello</b> & Grüße';
    const message = reader.locator('#messages li', { hasText: text });
    // The reader's subscription may be a moment behind its connection.
    while (!(await message.first().isVisible())) {
      await writer.getByLabel('Message').fill(text);
      const sent = writer.waitForResponse('**/messages');
      await writer.keyboard.press('Enter');
      expect((await sent).status()).to.equal(202);
      await message
        .first()
        .waitFor({ timeout: 1_000 })
        .catch(() => undefined);
    }
    expect(await message.first().locator('p').textContent()).to.equal(text);
    expect(await message.first().locator('strong').textContent()).to.equal('Writer');
    if (process.env['SCREENSHOT'] !== undefined) {
      await reader.screenshot({ path: process.env['SCREENSHOT'] });
    }
  });

  it('marks a room in which something happens elsewhere, and shows it there alone', async () => {
    const [writer, reader] = [await enter('Writer'), await enter('Reader')];
    await writer.getByRole('button', { name: 'kitchen' }).click();
    const kitchen = reader.getByRole('button', { name: 'kitchen' });
    const marked = reader.locator('#rooms .unread');
    while ((await marked.count()) === 0) {
      await writer.getByLabel('Message').fill('tea?');
      await writer.keyboard.press('Enter');
      await marked.waitFor({ timeout: 1_000 }).catch(() => undefined);
    }
    expect(await reader.locator('#messages li:visible', { hasText: 'tea?' }).count()).to.equal(0);
    await kitchen.click();
    await reader.locator('#messages li:visible', { hasText: 'tea?' }).first().waitFor();
  });
});
