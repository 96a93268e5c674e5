"use strict";
// Filters hide items by text and label, epoch buttons switch which masks are shown, and a lineage that is wider than
// the screen begins at its middle.
// Without this script everything is still on the page, with the masks of the first epoch.
for (const list of document.querySelectorAll("[data-filter]")) {
  const items = [...list.querySelectorAll("[data-item]")];
  const query = list.querySelector("input[type=search]");
  const selects = [...list.querySelectorAll("select[data-key]")];
  const shown = list.querySelector("[data-shown]");
  const empty = list.querySelector("[data-empty]");
  const apply = () => {
    const wanted = query.value.trim().toLowerCase();
    let count = 0;
    for (const item of items) {
      const text = (item.dataset.search || item.textContent).toLowerCase();
      const fits = text.includes(wanted) &&
        selects.every((select) => !select.value || item.dataset[select.dataset.key] === select.value);
      item.hidden = !fits;
      count += fits ? 1 : 0;
    }
    shown.textContent = String(count);
    empty.hidden = count > 0;
  };
  query.addEventListener("input", apply);
  for (const select of selects) select.addEventListener("change", apply);
  for (const button of list.querySelectorAll("button[data-epoch]")) {
    button.addEventListener("click", () => {
      for (const item of items) item.dataset.epoch = button.dataset.epoch;
      for (const other of list.querySelectorAll("button[data-epoch]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
    });
  }
}
for (const frame of document.querySelectorAll("[data-centre]")) {
  frame.scrollLeft = (frame.scrollWidth - frame.clientWidth) / 2;
}
