// One request and its drafts: a text or pictures, each on a card of its own.

import { Card } from './card.js';
import { element, word } from './config.js';
import { PictureCard, pictureTools } from './picture_card.js';
import { VaeCard, vaeAsked } from './vae_card.js';

const KINDS = { image: PictureCard, vae: VaeCard };

/** A text as paragraphs of a poem or as it is; a sentence ends a line of verse. */
function verse(text, poem) {
  if (!poem) return [text];
  return text.split(/(?<=[。！？])/).map((line) => element('span', { class: 'gl-line' }, line));
}

/**
 * The view of a request: {request_id, task, prompt, negative_prompt, messages, model, poem, options,
 * drafts}, each draft {generation, draft, output, picture, image, finish_reason, feedback}. Its
 * `cards` hold what was said since.
 */
export function requestView(request, { live = false } = {}) {
  const Kind = KINDS[request.task] ?? TextCard;
  const cards = request.drafts.map((draft) => new Kind(request, draft, { live }).build());
  for (const card of cards) card.siblings = cards;
  const view = element('section', {
    class: `gl-request gl-request-${request.task ?? 'text'}`, 'aria-busy': live ? 'true' : false,
  },
  request.task === 'vae' ? vaeAsked(request) : asked(request),
  request.task === 'image' ? pictureTools(request, cards) : null,
  element('div', { class: `gl-cards gl-cards-${cards.length}` }, cards.map((card) => card.root)));
  view.cards = cards;
  return view;
}

/** What was asked for. */
export function asked(request) {
  const turns = request.messages ?? [];
  const last = turns.length ? turns[turns.length - 1].content : request.prompt;
  const earlier = turns.slice(0, -1).map((turn) => element(
    'p', { class: `gl-turn gl-turn-${turn.role}` }, turn.content));
  const notes = [
    request.negative_prompt ? word('avoiding', { text: request.negative_prompt }) : null,
    request.truncated ? word('truncated', { text: request.truncated }) : null,
  ].filter(Boolean);
  return element('header', { class: 'gl-asked' }, earlier,
    element('p', { class: 'gl-turn gl-turn-user' }, last),
    notes.map((note) => element('p', { class: 'gl-note' }, note)));
}

class TextCard extends Card {
  get editLabels() { return { start: word('edit'), save: word('save_edit'), hint: null, room: 4 }; }

  original() { return this.draft.output ?? ''; }

  facts() {
    const { draft } = this;
    const facts = super.facts();
    if (draft.tokens !== undefined) facts.push(word('tokens', { tokens: draft.tokens }));
    if (draft.finish_reason === 'stop') facts.push(word('stopped'));
    if (draft.finish_reason === 'length') facts.push(word('cut'));
    if (draft.finish_reason === 'filtered') facts.push(word('held_back'));
    if (draft.finish_reason === 'error') facts.push(word('broken_off'));
    return facts;
  }

  showBody() {
    const note = this.editedNote();
    this.body.replaceChildren(
      element('div', { class: 'gl-text', lang: this.request.poem ? 'zh' : false },
        verse(this.text(), this.request.poem)), ...(note ? [note] : []));
  }

  tools() {
    return [
      this.button('copy', 'copy', word('copy'), () => this.copyText(this.text())),
      this.button('continue', 'continue', word('continue'), () => this.ask('continue')),
      this.button('retry', 'retry', word('retry'), () => this.ask('retry')),
      this.draft.generation
        ? this.button('reproduce', 'reproduce', word('reproduce'), () => this.ask('reproduce')) : null,
    ];
  }
}
