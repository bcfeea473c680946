package verify

import (
	"bytes"
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// COPY by every path. The driver knows COPY in a simple Query alone, the
// protocol everywhere: so the messages are written here.

// copy sends COPY ... TO STDOUT or FROM STDIN.
func (s *session) copy(ctx context.Context, path Path, r request, o *outcome) {
	f := s.conn.Frontend()
	ask := func(name, sql string) {
		if sql != "" {
			f.SendParse(&pgproto3.Parse{Name: name, Query: sql})
		}
		f.SendBind(&pgproto3.Bind{PreparedStatement: name})
		f.SendExecute(&pgproto3.Execute{})
	}
	// data follows an Execute at once: the server ignores it if it refuses the
	// COPY. Behind a simple Query it waits for the server's word.
	data := func() {
		if r.copy == copyIn {
			f.Send(&pgproto3.CopyData{Data: []byte(r.data)})
			f.Send(&pgproto3.CopyDone{})
		}
	}
	wait := false
	switch path {
	case Extended:
		ask("", r.sql)
		data()
		f.SendSync(&pgproto3.Sync{})
	case Prepared:
		ask(preparedName, "")
		data()
		f.SendSync(&pgproto3.Sync{})
	case Pipelined:
		ask("", neighbour)
		ask("", r.sql)
		data()
		ask("", neighbour)
		f.SendSync(&pgproto3.Sync{})
	case Multi:
		f.SendQuery(&pgproto3.Query{String: neighbour + "; " + r.sql + "; " + neighbour})
		wait = true
	default:
		f.SendQuery(&pgproto3.Query{String: r.sql})
		wait = true
	}
	if err := f.Flush(); err != nil {
		o.note(err)
		s.close(ctx)
		return
	}
	s.copied(ctx, o, wait, data)
}

// copied reads the answers up to ReadyForQuery. wait sends the data once the
// server asks for it.
func (s *session) copied(ctx context.Context, o *outcome, wait bool, data func()) {
	var out bytes.Buffer
	for {
		msg, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			o.note(err)
			s.close(ctx)
			return
		}
		switch m := msg.(type) {
		case *pgproto3.CopyInResponse:
			if wait {
				data()
				if err := s.conn.Frontend().Flush(); err != nil {
					o.note(err)
				}
			}
		case *pgproto3.CopyData:
			out.Write(m.Data)
		case *pgproto3.CommandComplete:
			if tag := string(m.CommandTag); strings.HasPrefix(tag, "COPY") {
				o.affected += pgconn.NewCommandTag(tag).RowsAffected()
			}
		case *pgproto3.ErrorResponse:
			o.note(pgconn.ErrorResponseToPgError(m))
		case *pgproto3.ReadyForQuery:
			o.copied = append(o.copied, out.Bytes()...)
			return
		}
	}
}
