package proxy

import "runtime"

// workers bound what runs beside the loops. Each kind has places of its own:
// tokens whose keys must be fetched from a slow issuer hold up no inspection,
// large texts no cancel, and one org's texts not those of all others.
type workers struct {
	verify  chan struct{} // tokens: mostly waiting, for keys
	inspect chan struct{} // large texts: a processor each
	open    chan struct{} // databases
	cancel  chan struct{} // CancelRequests to the server
}

// Places of each kind. Inspections take one of their org's first.
const (
	verifyPlaces   = 64
	openPlaces     = 4
	cancelPlaces   = 32
	inspectsPerOrg = 2
)

func newWorkers() workers {
	return workers{
		verify:  make(chan struct{}, verifyPlaces),
		inspect: make(chan struct{}, max(2*inspectsPerOrg, 2*runtime.GOMAXPROCS(0))),
		open:    make(chan struct{}, openPlaces),
		cancel:  make(chan struct{}, cancelPlaces),
	}
}

// background runs work that takes long, once there is one of the places.
func background(work func(), places ...chan struct{}) {
	go func() {
		for _, p := range places {
			p <- struct{}{}
			defer func() { <-p }()
		}
		work()
	}()
}
