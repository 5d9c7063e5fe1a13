// The card of a picture: look closer, mark what is wrong, say what it really shows, take it along.

import { openBrush } from './brush.js';
import { Card } from './card.js';
import { openCompare } from './compare.js';
import { element, icon, word } from './config.js';
import { fileName, usualText } from './parameters.js';
import { hasPicture, picture, savePicture, sourceOf } from './picture.js';
import { openRank } from './rank.js';
import { signal } from './server.js';
import { strokesOver } from './strokes.js';
import { act, turnTo } from './wires.js';
import { openZoom } from './zoom.js';

export class PictureCard extends Card {
  constructor(request, draft, more) {
    super(request, draft, more);
    this.editPlace = element('div', { class: 'gl-caption' });
  }

  get editLabels() {
    return { start: word('edit_caption'), save: word('save_caption'), hint: word('caption_hint'), room: 1 };
  }

  original() { return this.request.prompt ?? ''; }

  bar() {
    if (hasPicture(this.draft)) return super.bar();
    return element('div', { class: 'gl-bar' }, element('div', { class: 'gl-tools' },
      this.button('retry', 'retry', word('retry'), () => this.ask('retry'))));
  }

  showBody() {
    if (!this.frame) {
      this.frame = this.makeFrame();
      this.body.append(this.frame, this.editPlace);
    }
    const edited = this.said.edit !== undefined;
    this.editPlace.replaceChildren(...(edited
      ? [element('p', { class: 'gl-caption-text' }, this.said.edit), this.editedNote()] : []));
  }

  makeFrame() {
    const { request, draft } = this;
    if (!hasPicture(draft)) {
      const reasons = { filtered: word('filtered'), error: word('broken_picture') };
      return element('p', { class: 'gl-no-picture' }, reasons[draft.finish_reason] ?? word('unfinished'));
    }
    this.shown = picture({ ...sourceOf(request, draft), alt: this.text() });
    this.shown.addEventListener('shown', () => this.showMarks());
    return element('button', {
      type: 'button',
      class: 'gl-open',
      title: word('zoom'),
      'aria-label': `${word('zoom')}: ${this.text()}`,
      onclick: () => openZoom(request, draft.draft),
    }, this.shown);
  }

  showSaid(changed = null) {
    super.showSaid(changed);
    if (!this.shown) return;
    this.buttons.mark?.classList.toggle('gl-used', this.said.region !== undefined);
    this.showMarks();
  }

  showMarks() {
    this.frame.querySelector('.gl-strokes')?.remove();
    this.markNote?.remove();
    const image = this.shown.querySelector('img');
    if (!this.said.region || !image?.naturalWidth) return;
    this.frame.append(strokesOver(this.said.region.strokes, image.naturalWidth / image.naturalHeight));
    if (!this.said.region.text) return;
    this.markNote = element('p', { class: 'gl-mark-note' }, this.said.region.text);
    this.frame.after(this.markNote);
  }

  tools() {
    const { draft, request } = this;
    return [
      this.kept ? this.button('mark', 'mark', word('mark'), () => openBrush(
        request, draft, this.said.region, (value) => this.say('region', value))) : null,
      this.button('download', 'download', word('download_png'), () => this.save()),
      this.button('copy', 'copy', word('copy_parameters'), () => this.copyText(usualText(request, draft))),
      this.button('use', 'use', word('use_again'), () => this.useAgain()),
      this.button('retry', 'retry', word('retry'), () => this.ask('retry')),
      draft.generation
        ? this.button('reproduce', 'reproduce', word('reproduce'), () => this.ask('reproduce')) : null,
    ];
  }

  save() {
    signal(this.draft.generation, 'copy', performance.now() - this.seen);
    savePicture(this.draft, fileName(this.request, this.draft)).catch((problem) => this.tell(problem.message, true));
  }

  useAgain() {
    turnTo('image');
    act('image-fill', { generation: this.draft.generation ?? null, draft: this.draft.draft });
    this.tell(word('used_again'));
    document.getElementById('image-prompt')?.scrollIntoView({ block: 'center', behavior: 'smooth' });
  }
}

/** What is done with several pictures of a request at once; null for a single one. */
export function pictureTools(request, cards) {
  const drawn = cards.filter((card) => hasPicture(card.draft));
  if (drawn.length < 2) return null;
  const kept = drawn.filter((card) => card.kept);
  const together = (key, onclick) => element('button', {
    type: 'button', class: `gl-secondary gl-small gl-offer-${key}`, onclick,
  }, icon(key), word(key));
  return element('div', { class: 'gl-row gl-together' },
    together('compare', () => openCompare(request, kept.length === drawn.length)),
    kept.length > 1 ? together('rank', () => openRank(request, kept)) : null);
}
