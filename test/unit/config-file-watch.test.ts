import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { fileFingerprint, Settling, watchFiles } from '../../config/file-watch.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('Settling', () => {
  const looks = (...seen: string[]) => {
    const settling = new Settling();
    return seen.map((one) => settling.look(one));
  };

  it('tells a state once, when it is seen for the second time in a row', () => {
    expect(looks('a', 'a', 'a', 'b', 'b', 'b')).to.deep.equal([
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
  });

  it('waits while things move', () => {
    expect(looks('a', 'b', 'c', 'd', 'd')).to.deep.equal([false, false, false, false, true]);
  });

  it('says nothing where a state comes back before another one has settled', () => {
    expect(looks('a', 'a', 'b', 'a', 'a')).to.deep.equal([false, true, false, false, false]);
  });
});

describe('watchFiles', () => {
  function watch(fingerprint: (path: string) => Promise<string>, paths = ['f']) {
    const clock = createManualClock();
    const calls: { finish(): void }[] = [];
    const stop = watchFiles({
      clock,
      periodMs: 1_000,
      paths: () => paths,
      changed: () => new Promise((resolve) => calls.push({ finish: resolve })),
      fingerprint,
    });
    return { clock, calls, stop };
  }

  it('looks once a period and tells a change when it has come to rest', async () => {
    let state = '1';
    let looks = 0;
    const { clock, calls, stop } = watch(async () => {
      looks += 1;
      return state;
    });
    await clock.advanceAsync(999);
    expect(looks).to.equal(0);
    await clock.advanceAsync(1_001);
    expect([looks, calls.length]).to.deep.equal([2, 1]);
    calls[0]?.finish();
    await clock.advanceAsync(10_000);
    expect(calls).to.have.length(1);
    state = '2';
    await clock.advanceAsync(1_000);
    expect(calls).to.have.length(1);
    await clock.advanceAsync(1_000);
    expect(calls).to.have.length(2);
    stop();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('sees a change of any of the files, and of which they are', async () => {
    const states: Record<string, string> = { a: '1', b: '1', c: '1' };
    const paths = ['a', 'b'];
    const { clock, calls, stop } = watch(async (path) => states[path] ?? '', paths);
    const settle = async () => {
      await clock.advanceAsync(2_000);
      for (const call of calls) call.finish();
      await clock.advanceAsync(0);
      return calls.length;
    };
    expect(await settle()).to.equal(1);
    states['b'] = '2';
    expect(await settle()).to.equal(2);
    paths[1] = 'c';
    expect(await settle()).to.equal(3);
    stop();
  });

  it('takes no look while one hangs, or while the change is being dealt with', async () => {
    let looks = 0;
    let release = (_: string) => {};
    const { clock, calls, stop } = watch(() => {
      looks += 1;
      return new Promise((resolve) => {
        release = resolve;
      });
    });
    await clock.advanceAsync(5_000);
    expect(looks).to.equal(1);
    release('1');
    await clock.advanceAsync(1_000);
    release('1');
    await clock.advanceAsync(5_000);
    expect([looks, calls.length]).to.deep.equal([2, 1]);
    calls[0]?.finish();
    await clock.advanceAsync(1_000);
    expect(looks).to.equal(3);
    stop();
  });

  it('calls nobody once it is stopped, though a look is under way', async () => {
    let release = (_: string) => {};
    const { clock, calls, stop } = watch(
      () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    );
    await clock.advanceAsync(1_000);
    release('1');
    await clock.advanceAsync(1_000);
    stop();
    release('1');
    await clock.advanceAsync(1_000);
    expect(calls).to.have.length(0);
  });
});

describe('fileFingerprint', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'warren-watch-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('stays while nothing happens, and changes with each write', async () => {
    const file = join(directory, 'f');
    writeFileSync(file, 'one');
    const first = await fileFingerprint(file);
    expect(await fileFingerprint(file)).to.equal(first);
    writeFileSync(file, 'two, and longer');
    expect(await fileFingerprint(file)).to.not.equal(first);
  });

  it('changes where another file takes the place', async () => {
    const file = join(directory, 'f');
    writeFileSync(file, 'one');
    const first = await fileFingerprint(file);
    writeFileSync(`${file}.new`, 'two');
    renameSync(`${file}.new`, file);
    expect(await fileFingerprint(file)).to.not.equal(first);
  });

  it('changes where a directory behind a symbolic link is swapped, as in a volume of Kubernetes', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(directory, version));
      writeFileSync(join(directory, version, 'f'), version);
    }
    symlinkSync('v1', join(directory, '..data'));
    symlinkSync('..data/f', join(directory, 'f'));
    const first = await fileFingerprint(join(directory, 'f'));
    symlinkSync('v2', join(directory, '..new'));
    renameSync(join(directory, '..new'), join(directory, '..data'));
    expect(await fileFingerprint(join(directory, 'f'))).to.not.equal(first);
  });

  it('is a state of its own for what is not there, or is no file', async () => {
    expect(await fileFingerprint(join(directory, 'gone'))).to.equal('ENOENT');
    expect(await fileFingerprint(directory)).to.equal('not a file');
  });
});
