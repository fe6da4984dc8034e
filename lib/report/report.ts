import { writeFileAtomic } from '../io';

import { type Page, renderPage } from './page';

/** A result that can be shown: `toString()` for a terminal, `html()` for a browser. Its own properties are plain data. */
export abstract class Report {
  /** @internal */
  protected abstract page(): Page;

  /** One self-contained page with plots, which works without a network. */
  html(): string {
    return renderPage(this.page());
  }

  /** Writes the page, atomically. @throws QuantoError IO */
  async saveHtml(path: string): Promise<void> {
    await writeFileAtomic(path, this.html());
  }

  abstract toString(): string;

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
