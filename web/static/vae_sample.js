// Sample: draw from the prior or the mixture, judge what comes, and ask for more like the good ones.

import { requestView } from './cards.js';
import { element, word } from './config.js';
import { consent } from './consent.js';
import { pictureTools } from './picture_card.js';
import { ask } from './vae_ask.js';
import { notKept } from './vae_card.js';
import { button, chips, slider, statusLine } from './vae_controls.js';
import { Pairs } from './vae_pairs.js';

const MOST_RANKED = 8; // more samples than this are no order to be made by hand

export class Sample {
  constructor(tab) {
    this.tab = tab;
    this.count = chips(word('vae_count'), [4, 8, 12, 16].map((n) => [n, String(n)]), 8);
    this.source = chips(word('vae_source'), [['prior', word('vae_prior')], ['mixture', word('vae_mixture')]], 'prior',
      () => this.explain());
    this.sourceInfo = element('p', { class: 'gl-field-info' });
    this.temperature = slider(word('temperature'), {
      min: 0, max: 2, step: 0.05, value: 0.8, id: 'vae-temperature', info: word('vae_temperature_info'),
    });
    this.truncation = slider(word('truncation'), {
      min: 0, max: 3, step: 0.1, value: 0, id: 'vae-truncation', info: word('vae_truncation_info'),
      shown: (value) => (value ? String(value) : word('vae_off')),
    });
    this.seed = element('input', { type: 'number', class: 'gl-input', id: 'vae-seed', min: 0, max: 4294967295, value: 0, 'aria-label': word('seed') });
    this.lock = element('input', { type: 'checkbox', id: 'vae-lock-seed' });
    this.go = button('primary', word('vae_draw'), () => this.draw(), 'vae-draw');
    this.stop = button('secondary', word('stop'), () => ask('vae-stop', {}), 'vae-stop');
    this.status = statusLine();
    this.tasteStatus = statusLine();
    this.stage = element('div', { id: 'vae-stage' });
    this.pairs = new Pairs(this);
    this.cannot = element('p', { class: 'gl-problem', hidden: true });
    this.desk = element('div', { class: 'gl-vae-desk' },
      labelled(word('vae_count'), this.count),
      labelled(word('vae_source'), this.source, this.sourceInfo),
      this.temperature, this.truncation,
      element('div', { class: 'gl-field' }, element('label', { class: 'gl-field-label', for: 'vae-seed' }, word('seed')),
        element('div', { class: 'gl-seed-row' }, this.seed,
          element('label', { class: 'gl-check' }, this.lock, word('lock_seed')))),
      element('div', { class: 'gl-row' }, this.go, this.stop, button('secondary', word('vae_pairs'), () => this.pairs.begin(), 'vae-pairs')),
      this.status,
      this.tastePanel());
    this.root = element('section', {}, this.cannot,
      element('div', { class: 'gl-vae-columns' }, this.desk, element('div', { class: 'gl-vae-main' }, this.stage)));
    this.clear();
    this.stop.hidden = true;
    this.chosen(null, false); // no model is known yet: nothing can be asked of it
  }

  tastePanel() {
    this.mine = button('secondary gl-small', word('vae_taste_mine'), () => this.draw('mine'), 'vae-taste-mine');
    this.all = button('secondary gl-small', word('vae_taste_everybody'), () => this.draw('everybody'), 'vae-taste-everybody');
    return element('section', { class: 'gl-vae-taste' },
      element('h3', {}, word('vae_taste')), element('p', { class: 'gl-field-info' }, word('vae_taste_info')),
      element('div', { class: 'gl-row' }, this.mine, this.all), this.tasteStatus);
  }

  clear() {
    this.stage.replaceChildren(element('div', { class: 'gl-empty' },
      element('h2', {}, word('vae_empty_title')), element('p', {}, word('vae_empty_text'))));
  }

  consented() { if (!consent.keep) return; this.stage.querySelectorAll('.gl-not-kept').forEach((note) => note.remove()); }

  chosen(model, changed) {
    const can = model?.samples !== false;
    this.cannot.hidden = can;
    this.cannot.textContent = can ? '' : word('vae_cannot_sample');
    for (const one of [this.go, this.mine, this.all, this.root.querySelector('#vae-pairs')]) one.disabled = !can || !model?.kind;
    this.source.children[1].disabled = !model?.mixture;
    if (!model?.mixture && this.source.value === 'mixture') this.source.choose('prior');
    if (model?.kind && this.known !== model.name) {
      this.known = model.name; // what it can do is known once it is loaded
      if (model.mixture) this.source.choose('mixture');
    }
    if (changed) {
      this.clear();
      this.status.say('');
      this.tasteStatus.say('');
    }
    this.explain();
  }

  /** Says which distribution is used, and why it looks as it does. */
  explain() {
    const { model } = this.tab;
    let key = this.source.value === 'mixture' ? 'vae_mixture_info' : 'vae_prior_info';
    if (model && !model.mixture) key = model.kind === 'gan' ? 'vae_prior_gan' : 'vae_no_mixture';
    this.sourceInfo.textContent = word(key);
  }

  wish(drafts) {
    return {
      model: this.tab.name,
      drafts,
      source: this.source.value,
      temperature: Number(this.temperature.input.value),
      truncation: Number(this.truncation.input.value),
      seed: this.lock.checked ? Number(this.seed.value) : null,
    };
  }

  /** Draw samples; with a taste, before and after it. */
  async draw(taste = null) {
    const told = taste ? this.tasteStatus : this.status;
    this.busy(true);
    told.say('…');
    const state = await ask('vae', { action: 'sample', ...this.wish(this.count.value), taste }, (now) => told.follow(now));
    this.busy(false);
    if (state.phase === 'error') return;
    this.seed.value = state.request.options.seed;
    if (taste) this.showTaste(state); else this.show(state.request);
    this.reveal();
  }

  busy(now) {
    this.go.disabled = now;
    this.stop.hidden = !now;
  }

  /** On a phone the samples come below all fields: go there. */
  reveal() {
    if (this.stage.getBoundingClientRect().top > window.innerHeight * 0.8) {
      this.stage.scrollIntoView({ block: 'start', behavior: 'smooth' });
    }
  }

  show(request) {
    this.stage.replaceChildren(gridOf(request));
  }

  showTaste(state) {
    const { choices, agreement, effective, whose } = state.taste;
    const share = Math.round(100 * (effective ?? 1));
    this.stage.replaceChildren(
      element('p', { class: 'gl-vae-facts', id: 'vae-taste-facts' }, word('vae_taste_facts', {
        choices, agreement: Math.round(100 * agreement), share,
      }), share < 10 ? ` ${word('vae_taste_narrow')}` : ''),
      element('div', { class: 'gl-before-after' },
        element('div', { id: 'vae-before' }, element('h3', {}, word('vae_before')), gridOf(state.before)),
        element('div', { id: 'vae-after' }, element('h3', {}, word(whose === 'mine' ? 'vae_after_mine' : 'vae_after_everybody')),
          gridOf(state.request))));
  }
}

/** The cards of a request, with what can be said of several at once. */
export function gridOf(request) {
  const view = requestView(request);
  const kept = view.cards.some((card) => card.kept);
  if (request.drafts.length <= MOST_RANKED && request.inputs.action === 'sample') {
    const tools = pictureTools(request, view.cards);
    if (tools) view.querySelector('.gl-asked').after(tools);
  }
  if (!kept) view.querySelector('.gl-asked').after(notKept());
  return view;
}

export function labelled(label, control, ...more) {
  return element('div', { class: 'gl-field' }, element('span', { class: 'gl-field-label' }, label), control, more);
}
