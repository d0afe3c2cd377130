import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { brokerErrors } from '../../broker/errors.ts';
import { deadLetterCodes, frameCodes, httpCodes } from '../../contracts/errors.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { pages } from '../../docs/pages.ts';
import { table } from '../../docs/table.ts';
import { scriptSettings, settingsTable } from '../../runtime/settings.ts';

describe('pages', () => {
  for (const { file, text } of pages()) {
    it(`docs/${file} is what its tables say now`, () => {
      const committed = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
      if (committed === text) return;
      const [was, is] = [committed.split('\n'), text.split('\n')];
      const at = is.findIndex((line, index) => line !== was[index]);
      throw new Error(
        `docs/${file} is out of date: run \`npm run docs\` and commit it.\n` +
          `line ${at + 1} is:        ${was[at] ?? '(missing)'}\nand should be: ${is[at] ?? '(nothing)'}`,
      );
    });
  }

  const textOf = (file: string) => pages().find((page) => page.file === file)?.text ?? '';

  it('name every setting', () => {
    for (const name of [...Object.keys(settingsTable), ...Object.keys(scriptSettings)]) {
      expect(textOf('settings.md')).to.include(`| \`${name}\` |`);
    }
  });

  it('name every error code and close code', () => {
    const codes = [deadLetterCodes, httpCodes, frameCodes, brokerErrors].flatMap((catalogue) =>
      Object.keys(catalogue),
    );
    const closes = Object.values(closeCodes).map(({ code }) => String(code));
    for (const code of [...codes, ...closes]) {
      expect(textOf('errors.md')).to.include(`| \`${code}\` |`);
    }
  });
});

describe('table', () => {
  it('keeps its columns, whatever the cells hold', () => {
    expect(table(['a', 'b'], [['x|y', 'two\nlines']])).to.equal(
      '| a | b |\n| --- | --- |\n| x\\|y | two lines |',
    );
  });
});
