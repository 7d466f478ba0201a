// Shows notes as others pin them, over the websocket.
const list = document.getElementById("notes");
const live = document.getElementById("live");

function connect(delay) {
  const socket = new WebSocket(`wss://${location.host}/ws`);
  socket.onopen = () => { live.textContent = "live"; delay = 1000; };
  socket.onclose = () => { live.textContent = "not live"; setTimeout(() => connect(Math.min(delay * 2, 30000)), delay); };
  socket.onmessage = (event) => {
    if (event.data.startsWith("echo: ")) return;
    const note = JSON.parse(event.data);
    const item = document.createElement("li");
    const text = document.createElement("p");
    const by = document.createElement("small");
    text.textContent = note.text;
    by.textContent = `${note.by}, just now`;
    item.append(text, by);
    list.querySelector(".none")?.remove();
    list.prepend(item);
  };
}
if (location.pathname === "/") connect(1000);
