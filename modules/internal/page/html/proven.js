(function () {
	var said = { type: "gatehouse-step-up" };
	try { new BroadcastChannel("gatehouse").postMessage(said); } catch (e) {}
	if (!window.opener) return;
	try { window.opener.postMessage(said, location.origin); } catch (e) {}
	window.close();
})();
