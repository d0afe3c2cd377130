import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import schema from '../../contracts/warren.schema.json' with { type: 'json' };

interface Part {
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Part>>;
  readonly $ref?: string;
}

const definitions: Readonly<Record<string, Part>> = schema.$defs;

const resolved = (part: Part): Part =>
  part.$ref === undefined ? part : (definitions[part.$ref.replace('#/$defs/', '')] ?? {});

describe('warren.schema.json', () => {
  const maps: readonly (readonly [string, Part])[] = [
    ['root', schema as Part],
    ...Object.entries(definitions),
  ];
  for (const [name, map] of maps) {
    it(`describes every key of ${name} and gives an example, for editors to show`, () => {
      for (const [key, part] of Object.entries(map.properties ?? {})) {
        const { description = '', examples = [] } = resolved(part);
        expect(description.length, `${name}.${key}`).to.be.above(10);
        expect(examples.length, `${name}.${key}`).to.be.above(0);
      }
    });
  }

  it('knows every limit, and says its default', () => {
    const limits = resolved(definitions['limits'] ?? {}).properties ?? {};
    expect(Object.keys(limits).sort()).to.deep.equal(Object.keys(defaultLimits).sort());
    for (const [name, value] of Object.entries(defaultLimits)) {
      expect(limits[name]?.description, name).to.contain(`Default ${String(value)}.`);
    }
  });

  it('gives examples that the loader accepts', () => {
    for (const [list, definition] of [
      ['events', 'eventRule'],
      ['channels', 'channelRule'],
    ] as const) {
      const properties = definitions[definition]?.properties ?? {};
      for (const [key, part] of Object.entries(properties)) {
        if (key === 'app') continue;
        for (const example of part.examples ?? []) {
          const base =
            list === 'events'
              ? { on: 'x', to: 'y' }
              : { name: 'private-{room}.{id}', allow: 'true' };
          const text = JSON.stringify({ [list]: [{ ...base, [key]: example }] });
          const result = loadConfig(text, { path: 'warren.yaml', production: false });
          expect(result.ok ? [] : result.problems, text).to.deep.equal([]);
        }
      }
    }
  });
});
