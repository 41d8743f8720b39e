"use strict";
{
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const search = document.getElementById("search");
  const unfold = document.getElementById("unfold");
  const shown = document.getElementById("shown");
  const checks = all(".check");

  all(".scripted, .copy").forEach((each) => { each.hidden = false; });

  // The style sheet hides what the verdict does not fit; here goes what the words do not fit.
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = document.querySelector("[name=show]:checked").value;
    let count = 0;
    for (const check of checks) {
      const text = check.textContent.toLowerCase();
      check.hidden = !words.every((word) => text.includes(word));
      count += !check.hidden && (verdict === "all" || check.classList.contains(`is-${verdict}`));
    }
    for (const subject of all(".subject")) {
      const fits = (check) => !check.hidden && (verdict === "all" || check.classList.contains(`is-${verdict}`));
      const found = all(".check", subject).some(fits);
      subject.hidden = !found;
      if (found && (words.length || verdict !== "all")) subject.open = true;
    }
    document.querySelector(".nothing").hidden = count > 0;
    shown.textContent = `${count} of ${checks.length} checks shown`;
  };
  if (search) {
    search.addEventListener("input", filter);
    all("[name=show]").forEach((radio) => radio.addEventListener("change", filter));
    document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
    unfold.addEventListener("click", () => {
      const open = unfold.getAttribute("aria-pressed") === "false";
      unfold.setAttribute("aria-pressed", String(open));
      unfold.textContent = open ? "Close all" : "Open all";
      all(".subject, .check > details").forEach((each) => { each.open = open; });
    });
  }

  all(".copy").forEach((button) => button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }));

  // Paper cannot be unfolded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all(".subject:not([open]), .check > details:not([open])");
    folded.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
}
