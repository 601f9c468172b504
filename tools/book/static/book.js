// What the theme lacks: search results from a file, and figures that can be enlarged.

// A page that was opened as a file may not read the other pages, so results have no summaries.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

function enlarge(picture) {
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.ariaLabel = picture.alt;
  dialog.innerHTML =
    '<div class="tools"><button data-by="0.667" aria-label="Smaller">−</button>' +
    '<button data-by="1.5" aria-label="Larger">+</button>' +
    '<button class="close" autofocus>Close</button></div><div class="pan" tabindex="0"></div>';
  const pan = dialog.querySelector(".pan");
  const copy = pan.appendChild(new Image());
  copy.src = picture.src;
  copy.alt = picture.alt;
  let width = Math.max(copy.naturalWidth || picture.naturalWidth, 320);
  const zoom = (by) => {
    const x = pan.scrollLeft + pan.clientWidth / 2, y = pan.scrollTop + pan.clientHeight / 2;
    const next = Math.min(Math.max(width * by, 160), 6000);
    by = next / width;
    width = next;
    copy.style.width = `${width}px`;
    pan.scrollTo(x * by - pan.clientWidth / 2, y * by - pan.clientHeight / 2);
  };
  for (const button of dialog.querySelectorAll("[data-by]"))
    button.onclick = () => zoom(Number(button.dataset.by));
  dialog.querySelector(".close").onclick = () => dialog.close();
  dialog.onkeydown = ({ key }) => {
    if (key === "+" || key === "=") zoom(1.5);
    if (key === "-") zoom(0.667);
  };
  pan.onpointermove = (event) => {  // a finger scrolls by itself
    if (event.pointerType === "mouse" && event.buttons)
      pan.scrollBy({ left: -event.movementX, top: -event.movementY, behavior: "instant" });
  };
  copy.draggable = false;
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
  zoom(1);
}

// A formula within a line that is wider than the screen gets a line of its own that scrolls.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const formula of document.querySelectorAll("span.math")) {
    const block = formula.parentElement.closest("p, li, td, dd, dt, h1, h2, h3, h4");
    if (block && formula.offsetWidth > block.clientWidth) formula.classList.add("wide");
  }
});

document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll("article img")) {
    if (picture.closest("a, button, .ltm-figure")) continue;
    const button = document.createElement("button");
    button.className = "enlarge";
    button.title = "Enlarge";
    picture.replaceWith(button);
    button.append(picture);
    button.onclick = () => enlarge(picture);
  }
});
