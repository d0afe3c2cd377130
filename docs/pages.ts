/** The pages of docs/ that are printed from code. */
import { errorsPage } from './errors-page.ts';
import { settingsPage } from './settings-page.ts';

export interface Page {
  /** File name in docs/. */
  readonly file: string;
  readonly text: string;
}

export function pages(): readonly Page[] {
  return [
    { file: 'settings.md', text: settingsPage() },
    { file: 'errors.md', text: errorsPage() },
  ];
}
