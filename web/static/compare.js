// Two pictures of a request over one another, a line between them that moves, and a vote.

import { element, word } from './config.js';
import { openDialog } from './dialog.js';
import { hasPicture, picture, sourceOf } from './picture.js';
import { Refusal, vote } from './server.js';

const ANSWERS = ['left', 'right', 'tie', 'both_bad'];

export function openCompare(request, canVote) {
  const drafts = request.drafts.filter(hasPicture);
  const chosen = [0, 1];
  const stack = element('div', { class: 'gl-stack' });
  const status = element('p', { class: 'gl-status', role: 'status', 'aria-live': 'polite' });
  const line = element('input', {
    type: 'range', class: 'gl-divider', min: 0, max: 1000, value: 500, 'aria-label': word('compare_slider'),
  });
  const move = () => stack.style.setProperty('--gl-at', `${line.value / 10}%`);
  line.addEventListener('input', move);

  const picker = (side, label) => {
    const select = element('select', { class: 'gl-select', 'aria-label': label },
      drafts.map((draft, index) => element('option', { value: index, selected: index === chosen[side] },
        word('draft', { number: draft.draft + 1 }))));
    select.addEventListener('change', () => {
      const other = 1 - side;
      const before = chosen[side];
      chosen[side] = Number(select.value);
      if (chosen[other] === chosen[side]) chosen[other] = before; // the sides change places
      pickers.forEach((one, index) => { one.value = String(chosen[index]); });
      show();
    });
    return select;
  };
  const pickers = [picker(0, word('compare_left')), picker(1, word('compare_right'))];

  function show() {
    status.textContent = '';
    stack.replaceChildren(
      ...chosen.map((index, side) => {
        const shown = picture({
          ...sourceOf(request, drafts[index]), alt: word('draft', { number: drafts[index].draft + 1 }),
        });
        shown.classList.add(side ? 'gl-right' : 'gl-left');
        return shown;
      }),
      element('span', { class: 'gl-line-between', 'aria-hidden': 'true' }), line);
    press(said(...chosen.map((index) => drafts[index].generation)));
    move();
  }

  /** The last answer to this pair, as it is shown now; null when there is none. */
  function said(left, right) {
    const last = (request.votes ?? []).findLast((one) => [one.left, one.right].every((side) => side === left || side === right));
    if (!last || last.left === left) return last?.answer ?? null;
    return { left: 'right', right: 'left' }[last.answer] ?? last.answer;
  }

  function press(answer) {
    ANSWERS.forEach((one, index) => votes.children[index]?.setAttribute('aria-pressed', String(one === answer)));
  }

  async function say(answer) {
    const [left, right] = chosen.map((index) => drafts[index].generation);
    status.classList.remove('gl-wrong');
    status.textContent = word('saving');
    try {
      await vote(left, right, answer);
      request.votes = [...(request.votes ?? []), { left, right, answer }];
      press(answer);
      status.textContent = word('saved');
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      status.classList.add('gl-wrong');
      status.textContent = problem.message;
    }
  }
  const votes = element('div', { class: 'gl-chips gl-votes' }, canVote ? ANSWERS.map((answer) => element('button', {
    type: 'button',
    class: `gl-chip gl-vote-${answer}`,
    'aria-pressed': 'false',
    onclick: () => say(answer),
  }, word(`vote_${answer}`))) : []);

  openDialog('gl-compare', word('compare'),
    element('div', { class: 'gl-row gl-sides' }, pickers), stack, votes, status);
  show();
}
