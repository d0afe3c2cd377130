import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadConfigFiles, readRegularFile } from '../../config/config-files.ts';

const settings = {
  configPath: '/etc/warren.yaml',
  configPathGiven: true,
  app: undefined,
  production: false,
};

const load = (files: Readonly<Record<string, string>>) =>
  loadConfigFiles(settings, (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
    return text;
  });

const yaml = `apps:
  - { id: a, key: k, secretFile: s }
  - { id: b, key: l, secretFile: s }
  - { id: c, key: m, secretFile: gone }`;

describe('loadConfigFiles', () => {
  it('names every file that it asked for, found or not, each once', () => {
    const loaded = load({ '/etc/warren.yaml': yaml, '/etc/s': 'x' });
    expect(loaded.result.ok).to.equal(false);
    expect(loaded.found).to.equal(true);
    expect(loaded.paths).to.deep.equal(['/etc/warren.yaml', '/etc/s', '/etc/gone']);
    expect(load({})).to.deep.include({ found: false, paths: ['/etc/warren.yaml'] });
  });

  it('takes an empty file for one that is there', () => {
    expect(load({ '/etc/warren.yaml': '' }).found).to.equal(true);
  });

  it('has the same digest for the same files, and another for any difference', () => {
    const files = { '/etc/warren.yaml': yaml, '/etc/s': 'x', '/etc/gone': 'y' };
    const digest = load(files).digest;
    expect(load({ ...files }).digest).to.equal(digest);
    const others = [
      { ...files, '/etc/s': 'z' },
      { ...files, '/etc/s': 'x\n' },
      { ...files, '/etc/warren.yaml': `${yaml}\n` },
      { '/etc/warren.yaml': yaml, '/etc/s': 'x' },
      { ...files, '/etc/gone': '' },
      { ...files, '/etc/s': 'y', '/etc/gone': 'x' },
    ].map((other) => load(other).digest);
    expect(new Set([digest, ...others]).size).to.equal(7);
  });
});

describe('readRegularFile', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'warren-files-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('reads a file', () => {
    writeFileSync(join(directory, 'f'), 'text');
    expect(readRegularFile(join(directory, 'f'))).to.equal('text');
  });

  it('refuses what it would wait for, or could not hold', () => {
    for (const other of ['/dev/null', directory]) {
      expect(() => readRegularFile(other), other)
        .to.throw()
        .with.property('code', 'not a file');
    }
    const large = join(directory, 'large');
    writeFileSync(large, '');
    truncateSync(large, 16 * 1024 * 1024 + 1);
    expect(() => readRegularFile(large))
      .to.throw()
      .with.property('code', 'EFBIG');
    truncateSync(large, 16 * 1024 * 1024);
    expect(readRegularFile(large)).to.have.length(16 * 1024 * 1024);
  });

  it('passes on that there is none', () => {
    expect(() => readRegularFile(join(directory, 'gone')))
      .to.throw()
      .with.property('code', 'ENOENT');
  });
});
