import { expect } from 'chai';
import { parseAppId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import { type App, Apps } from '../../edge/apps.ts';
import { testApp } from '../support/app.ts';

function app(id: string, overrides: Partial<AppConfig> = {}): AppConfig {
  const parsed = parseAppId(id);
  if (parsed === undefined) throw new Error('not an app id');
  return testApp({ id: parsed, key: `${id}-key`, ...overrides });
}

const ids = (apps: readonly App[]) => apps.map((one) => one.config.id as string);

describe('Apps', () => {
  it('finds apps by id and by key, and the only one', () => {
    const apps = new Apps([app('a')]);
    expect(apps.byId('a')).to.equal(apps.byKey('a-key'));
    expect(apps.byId('a-key')).to.equal(undefined);
    expect(apps.only).to.equal(apps.byId('a'));
    expect(new Apps([app('a'), app('b')]).only).to.equal(undefined);
  });

  describe('update', () => {
    it('keeps the object of an id, so that open sockets see the new configuration', () => {
      const apps = new Apps([app('a', { allowedOrigins: ['https://old.example'] })]);
      const held = apps.byId('a');
      if (held === undefined) throw new Error('not there');
      held.connections = 3;
      const limits = { ...defaultLimits, channelsPerConnection: 1 };
      const next = app('a', { limits, secret: 'new', allowedOrigins: ['https://New.example'] });
      expect(apps.update([next])).to.deep.equal({ added: [], removed: [], disabled: [] });
      expect(apps.byId('a')).to.equal(held);
      expect(held.config).to.equal(next);
      expect(held.connections).to.equal(3);
      expect(held.allowsOrigin('https://new.example')).to.equal(true);
      expect(held.allowsOrigin('https://old.example')).to.equal(false);
    });

    it('adds, removes and tells both', () => {
      const apps = new Apps([app('a'), app('b')]);
      const gone = apps.byId('a');
      const change = apps.update([app('b'), app('c')]);
      expect(ids(change.added)).to.deep.equal(['c']);
      expect(change.removed).to.deep.equal([gone]);
      expect(change.disabled).to.deep.equal([]);
      expect(ids(apps.all())).to.deep.equal(['b', 'c']);
      expect([apps.byId('a'), apps.byKey('a-key')]).to.deep.equal([undefined, undefined]);
      expect(apps.byKey('c-key')).to.equal(change.added[0]);
    });

    it('tells an app as disabled once, and not where it was so before or is new', () => {
      const apps = new Apps([app('a'), app('b', { enabled: false })]);
      const off = [app('a', { enabled: false }), app('b', { enabled: false })];
      const change = apps.update([...off, app('c', { enabled: false })]);
      expect(ids(change.disabled)).to.deep.equal(['a']);
      expect(ids(change.added)).to.deep.equal(['c']);
      expect(apps.update(off).disabled).to.deep.equal([]);
      expect(apps.update([app('a'), app('b')])).to.deep.equal({
        added: [],
        removed: [],
        disabled: [],
      });
      expect(ids(apps.update(off).disabled)).to.deep.equal(['a', 'b']);
    });

    it('admits by the new key alone, also where two apps swap theirs', () => {
      const apps = new Apps([app('a'), app('b')]);
      const [a, b] = [apps.byId('a'), apps.byId('b')];
      apps.update([app('a', { key: 'b-key' }), app('b', { key: 'a-key' })]);
      expect([apps.byKey('b-key'), apps.byKey('a-key')]).to.deep.equal([a, b]);
      apps.update([app('a', { key: 'fresh' }), app('b')]);
      expect([apps.byKey('fresh'), apps.byKey('a-key')]).to.deep.equal([a, undefined]);
    });

    it('takes an app that comes back for a new one: its old sockets are on their way out', () => {
      const apps = new Apps([app('a'), app('b')]);
      const first = apps.byId('a');
      if (first === undefined) throw new Error('not there');
      first.connections = 1;
      apps.update([app('b')]);
      apps.update([app('a'), app('b')]);
      expect(apps.byId('a')).to.not.equal(first);
      expect(apps.byId('a')?.connections).to.equal(0);
    });
  });
});

describe('App', () => {
  it('keeps its id', () => {
    const held = new Apps([app('a')]).byId('a');
    expect(() => held?.configure(app('b'))).to.throw('keeps its id');
  });
});
