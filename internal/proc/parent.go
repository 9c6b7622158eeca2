package proc

// Parent returns the number of the process's parent, also of a zombie's. It is that of
// the very process that the handle names, if that is not gone afterwards. When the parent
// ends, it becomes OrphanParent's.
func (h *Handle) Parent() (int, error) {
	parent, err := h.sys.parent()
	if err != nil {
		return 0, errorf("read parent of process %d: %w", h.pid, err)
	}
	return parent, nil
}
