/** What a client may see of an event: the payload itself, or what a rule's `data` picks from it. */
import type { Refusal } from '../contracts/errors.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import { type Fields, lossIn, readField, refusal, renderText } from './field.ts';
import { compileTemplate, type Template, type TemplateError } from './template.ts';

export type Projection =
  | { readonly kind: 'payload' }
  | { readonly kind: 'value'; readonly template: Template }
  | {
      readonly kind: 'map';
      /** In file order; `key` is JSON text with its quotes. */
      readonly entries: readonly { readonly key: string; readonly template: Template }[];
    };

export interface ProjectionError extends TemplateError {
  /** The key of the map; absent where `data` is one template. */
  readonly key?: string;
}

/** Compiles a rule's `data`; absent means the whole payload. Reports every template that is wrong. */
export function compileProjection(
  data: string | Readonly<Record<string, string>> | undefined,
): Result<Projection, readonly ProjectionError[]> {
  if (data === undefined) return ok({ kind: 'payload' });
  if (typeof data === 'string') {
    const template = compileTemplate(data);
    return template.ok ? ok({ kind: 'value', template: template.value }) : fail([template.error]);
  }
  const entries: { key: string; template: Template }[] = [];
  const errors: ProjectionError[] = [];
  for (const [key, source] of Object.entries(data)) {
    const template = compileTemplate(source);
    if (key === '__proto__') {
      errors.push({ key, offset: 0, message: 'may not be a key of what clients get' });
    } else if (template.ok) entries.push({ key: JSON.stringify(key), template: template.value });
    else errors.push({ ...template.error, key });
  }
  return errors.length === 0 ? ok({ kind: 'map', entries }) : fail(errors);
}

/**
 * The JSON text that becomes the client's `data`. The whole payload passes byte for byte. Projected, a template that is one
 * variable alone keeps its JSON type, null included; mixed text gives text; what would change on the way is refused.
 */
export function project(fields: Fields, projection: Projection): Result<string, Refusal> {
  switch (projection.kind) {
    case 'payload':
      return ok(fields.event.payload);
    case 'value':
      return jsonOf(fields, projection.template);
    case 'map': {
      let text = '';
      for (const { key, template } of projection.entries) {
        const json = jsonOf(fields, template);
        if (!json.ok) return json;
        text += `${text === '' ? '' : ','}${key}:${json.value}`;
      }
      return ok(`{${text}}`);
    }
  }
}

function jsonOf(fields: Fields, template: Template): Result<string, Refusal> {
  const variable = template.alone;
  if (variable === undefined) {
    const text = renderText(fields, template);
    return text.ok ? ok(JSON.stringify(text.value)) : text;
  }
  const value = readField(fields, variable);
  if (value === undefined) return fail(refusal('missing_field', variable, 'is not in the event'));
  if (variable.root !== 'data' && !isScalar(value)) {
    return fail(
      refusal('invalid_field', variable, 'holds neither text, a number nor true or false'),
    );
  }
  const loss = lossIn(fields, variable, value);
  if (loss !== undefined) return fail(loss);
  return ok(JSON.stringify(value));
}

/** AMQP headers may hold tables, bytes and times, which have no one form in JSON. */
function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
