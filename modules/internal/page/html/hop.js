(function () {
	var hash = location.hash, data = document.currentScript.dataset, to = data.to;
	if (hash.length > 1 && data.key) try {
		sessionStorage.setItem(data.key, hash);
		to += "&hash=1";
	} catch (e) {}
	location.replace(to);
})();
