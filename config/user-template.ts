/** Templates that yield user ids, for rules that act on a user. */
import { maxUserIdLength } from '../contracts/channel.ts';
import type { Refusal } from '../contracts/errors.ts';
import { fail, type Result } from '../contracts/result.ts';
import type { Fields } from './field.ts';
import { renderSegments } from './segments.ts';
import { compileTemplate, type Template, type TemplateError } from './template.ts';

/** A template that names no field would mean the same user whatever happens, which is a mistake. */
export function compileUserTemplate(source: string): Result<Template, TemplateError> {
  const template = compileTemplate(source);
  if (!template.ok) return template;
  if (template.value.parts.some((part) => typeof part !== 'string')) return template;
  return fail({ offset: 0, message: 'names no field', cure: "for example  '{data.userId}'" });
}

/** Refused, never rewritten: what `renderSegments` refuses, and what cannot be a user id (`invalid_user`). */
export function renderUser(fields: Fields, template: Template): Result<string, Refusal> {
  const user = renderSegments(fields, template, 'a user id');
  if (!user.ok) return user;
  const { length } = user.value;
  if (length > 0 && length <= maxUserIdLength && user.value.isWellFormed()) return user;
  return fail({
    code: 'invalid_user',
    text:
      length === 0
        ? 'the user id is empty'
        : `the user id is not well-formed text of at most ${maxUserIdLength} characters`,
  });
}
