"use strict";
(() => {
  const body = document.body;
  let held = null;
  const show = (place) => {
    if (place === null) delete body.dataset.focus;
    else body.dataset.focus = place;
  };
  for (const button of document.querySelectorAll(".legend button")) {
    const place = button.dataset.place;
    button.addEventListener("mouseenter", () => show(place));
    button.addEventListener("mouseleave", () => show(held));
    button.addEventListener("click", () => {
      held = held === place ? null : place;
      for (const other of document.querySelectorAll(".legend button")) {
        other.setAttribute("aria-pressed", String(other.dataset.place === held));
      }
      show(held);
    });
  }
  for (const tabs of document.querySelectorAll(".tabs")) {
    const buttons = [...tabs.querySelectorAll("button")];
    const panels = buttons.map((button) => document.getElementById(button.dataset.panel));
    buttons.forEach((button, chosen) => {
      button.addEventListener("click", () => {
        buttons.forEach((other, index) => {
          other.setAttribute("aria-selected", String(index === chosen));
          panels[index].hidden = index !== chosen;
        });
      });
    });
  }
  body.dataset.ready = "yes";
})();
