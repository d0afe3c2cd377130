import { expect } from 'chai';
import { decodePath, pathOf, withoutPrefix } from '../../edge/api/request-path.ts';

describe('withoutPrefix', () => {
  it('begins at the first /apps/ of the path', () => {
    for (const [url, expected] of [
      ['/apps/1/events?x=1', '/apps/1/events?x=1'],
      ['/p/apps/1/events?x=/apps/2', '/apps/1/events?x=/apps/2'],
      ['/p/apps/1/users/a/apps/2/b', '/apps/1/users/a/apps/2/b'],
      ['/apps/1/users/a/apps/2/b', '/apps/1/users/a/apps/2/b'],
      ['http://host/apps/1/events', '/apps/1/events'],
    ] as const) {
      expect(withoutPrefix(url), url).to.equal(expected);
    }
  });

  it('leaves what has none', () => {
    for (const url of ['/', '/broadcasting/auth', '/p/apps', '/xapps/1', '/p?x=/apps/1', '*']) {
      expect(withoutPrefix(url), url).to.equal(url);
    }
  });
});

describe('pathOf', () => {
  it('ends at the first question mark', () => {
    expect(pathOf('/a?b?c')).to.equal('/a');
    expect(pathOf('/a')).to.equal('/a');
    expect(pathOf('?')).to.equal('');
  });
});

describe('decodePath', () => {
  it('decodes UTF-8 and leaves what is none', () => {
    for (const [path, expected] of [
      ['/a', '/a'],
      ['/%C3%A9%20%2F%25', '/é /%'],
      ['/100%', '/100%'],
      ['/100%%20%C3%A9', '/100% é'],
      ['/%zz%2', '/%zz%2'],
      ['/%FF', '/%FF'],
      ['/%FFé%41', '/%FFéA'],
      ['/%ED%A0%80', '/%ED%A0%80'],
    ] as const) {
      expect(decodePath(path), path).to.equal(expected);
    }
  });

  it('decodes once', () => {
    expect(decodePath('%2541')).to.equal('%41');
  });
});
