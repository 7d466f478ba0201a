package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

const (
	maxNotes  = 200     // the oldest fall off the board
	maxNote   = 4 << 10 // bytes of one note
	maxUpload = 64 << 20
)

// note is one note on the board.
type note struct {
	ID   int       `json:"id"`
	By   string    `json:"by"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// board is the application: notes in memory and the pages around them.
type board struct {
	live *hub

	mu    sync.Mutex
	last  int    // guarded by mu
	notes []note // guarded by mu; newest first
}

func newBoard(live *hub) *board {
	b := &board{live: live}
	b.add("the house", "Welcome. This notice board was never changed to work behind a gateway.")
	b.add("the house", "It has no login. Whoever reaches it may read, write and clear the board: somebody should stand in front.")
	return b
}

func (b *board) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", b.index)
	mux.HandleFunc("GET /search", b.search)
	mux.HandleFunc("POST /notes", b.post)
	mux.HandleFunc("GET /api/notes", b.apiList)
	mux.HandleFunc("POST /api/notes", b.apiAdd)
	mux.HandleFunc("GET /admin/", b.admin)
	mux.HandleFunc("POST /admin/clear", b.clear)
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.Handle("GET /assets/", http.FileServerFS(assets))
	mux.HandleFunc("/ws", b.live.websocket)
	mux.HandleFunc("GET /events", b.live.events)
	probes(mux)
	return mux
}

func (b *board) add(by, text string) (note, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxNote {
		return note{}, fmt.Errorf("a note has between 1 and %d bytes", maxNote)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	n := note{ID: b.last, By: by, Text: text, At: time.Now().UTC().Truncate(time.Second)}
	b.notes = append([]note{n}, b.notes[:min(len(b.notes), maxNotes-1)]...)
	return n, nil
}

// find returns the notes that contain q; all of them when q is empty.
func (b *board) find(q string) []note {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []note{}
	for _, n := range b.notes {
		if strings.Contains(strings.ToLower(n.Text), strings.ToLower(q)) {
			found = append(found, n)
		}
	}
	return found
}

// visitor is who the application is told it is talking to. Like many applications it believes a header: it is the
// gateway's work that nobody else can set it.
type visitor struct{ User, Name, Email, Roles string }

func visitorOf(r *http.Request) visitor {
	v := visitor{
		User:  r.Header.Get("X-Gatehouse-User"),
		Name:  r.Header.Get("X-Gatehouse-Name"),
		Email: r.Header.Get("X-Gatehouse-Email"),
		Roles: r.Header.Get("X-Gatehouse-Roles"),
	}
	if v.Name == "" {
		v.Name = v.User
	}
	if v.Name == "" {
		v.Name = "somebody"
	}
	return v
}

func show(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	// The connection is all that can fail here, and nobody is left to be told.
	_ = pages.ExecuteTemplate(w, name, data)
}

func (b *board) index(w http.ResponseWriter, r *http.Request) {
	show(w, "index.html", map[string]any{"Visitor": visitorOf(r), "Notes": b.find("")})
}

func (b *board) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("q")
	show(w, "index.html", map[string]any{"Visitor": visitorOf(r), "Notes": b.find(q), "Query": q})
}

func (b *board) admin(w http.ResponseWriter, r *http.Request) {
	show(w, "admin.html", map[string]any{"Visitor": visitorOf(r), "Count": len(b.find(""))})
}

func (b *board) post(w http.ResponseWriter, r *http.Request) {
	n, err := b.add(visitorOf(r).Name, r.PostFormValue("text"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.live.tell(n)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (b *board) clear(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.notes = nil
	b.mu.Unlock()
	http.Redirect(w, r, "/admin/", http.StatusSeeOther)
}

func (b *board) apiList(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, b.find(r.URL.Query().Get("q")))
}

func (b *board) apiAdd(w http.ResponseWriter, r *http.Request) {
	var in struct{ Text string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 2*maxNote)).Decode(&in); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	n, err := b.add(visitorOf(r).Name, in.Text)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	b.live.tell(n)
	writeJSON(w, http.StatusCreated, n)
}

// upload takes any body, keeps nothing and tells what arrived.
func upload(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, http.MaxBytesReader(w, r.Body, maxUpload))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"bytes": n, "sha256": hex.EncodeToString(h.Sum(nil))})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
