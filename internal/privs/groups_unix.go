//go:build unix && !linux && !freebsd

package privs

const maxGroups = 16 // NGROUPS_MAX of the others; initgroups(3) cuts off there, too
