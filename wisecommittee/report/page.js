"use strict";
(() => {
  const chart = document.getElementById("chart");
  const tip = document.getElementById("tip");
  const drawing = chart.querySelector("svg");
  const marks = [...drawing.querySelectorAll(".mark")];
  const texts = JSON.parse(document.getElementById("points").textContent);
  const REACH = 40; // pixels from the pointer to the nearest point
  let shown = null;

  const centre = (mark) => {
    const box = mark.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };

  const show = (mark) => {
    if (mark === shown) return;
    if (shown) shown.classList.remove("on");
    shown = mark;
    tip.style.display = mark ? "block" : "none";
    if (!mark) return;
    mark.classList.add("on");
    tip.textContent = texts[Number(mark.dataset.i)];
    const frame = chart.getBoundingClientRect();
    const [x, y] = centre(mark).map((value, axis) => value - (axis ? frame.top : frame.left));
    const left = x + 14 + tip.offsetWidth > frame.width ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.max(0, y - tip.offsetHeight - 10)}px`;
  };

  drawing.addEventListener("mousemove", (event) => {
    let best = null;
    let nearest = REACH * REACH;
    for (const mark of marks) {
      const [x, y] = centre(mark);
      const distance = (x - event.clientX) ** 2 + (y - event.clientY) ** 2;
      if (distance < nearest) [best, nearest] = [mark, distance];
    }
    show(best);
  });
  drawing.addEventListener("mouseleave", () => show(null));
  for (const mark of marks) {
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", () => show(null));
  }

  // On paper everything is unfolded.
  const folded = [...document.querySelectorAll("details")];
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = folded.filter((part) => !part.open);
    for (const part of opened) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
  });
})();
