"""Setting a password: with an administrator's link, or one's own with the old one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from studio.accounts import limiter, services
from studio.accounts.access import signed_in
from studio.accounts.models import User
from studio.lib.errors import NotFound, TooManyAttempts

# What failures are counted under, for each address. No user name holds a space.
_LINKS = "password links"
_AGAIN = "The same once more"


class _Fields(forms.Form):
    """Django's two fields of a new password, in Studio's words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_password1"].help_text = "At least 12 characters, and no common password."
        self.fields["new_password2"].label = _AGAIN
        self.fields["new_password2"].help_text = ""


class LinkForm(_Fields, SetPasswordForm):  # type: ignore[type-arg]
    pass


class ChangeForm(_Fields, PasswordChangeForm):
    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.fields["old_password"].label = "Your password now"

    def clean_old_password(self) -> str:
        """Counts as signing in does: whoever finds an open session cannot guess at leisure."""
        given: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.username, password=given) is None:
            raise forms.ValidationError("This is not your password.")
        return given


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def set_password(request: HttpRequest) -> HttpResponse:
    """Set the password of the link's user. Looking at the page does not use the link up.

    The secret is in the query and then in the form, never in the path, which logs tell.
    """
    secret = (request.POST if request.method == "POST" else request.GET).get("link", "")
    try:
        user = limiter.guess(_LINKS, limiter.address_of(request), lambda: _owner(secret))
        response = _ended(request) if user is None else _set_password(request, user, secret)
    except NotFound:  # used meanwhile
        response = _ended(request)
    except TooManyAttempts as locked:
        context = {"title": "Wait a moment", "message": locked.message}
        response = render(request, "accounts/shut.html", context, status=locked.status)
        response["Retry-After"] = str(locked.retry_after)
    # No query in a Referer, not even to Studio itself. (`no-referrer` would have browsers send the form with
    # `Origin: null`, which the check against forgery refuses.)
    response["Referrer-Policy"] = "strict-origin"
    return response


def _owner(secret: str) -> User | None:
    try:
        return services.owner_of_link(secret)
    except NotFound:
        return None


def _set_password(request: HttpRequest, user: User, secret: str) -> HttpResponse:
    form = LinkForm(user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        services.use_password_link(secret=secret, password=form.cleaned_data["new_password1"])
        messages.success(request, "Your password is set: sign in with it.")
        return redirect("accounts:login")
    context = {"form": form, "owner": user, "link": secret}
    status = 422 if form.errors else 200
    return render(request, "accounts/set_password.html", context, status=status)


def _ended(request: HttpRequest) -> HttpResponse:
    context = {"title": "Not valid any more", "message": services.LINK_ENDED}
    return render(request, "accounts/shut.html", context, status=404)


class ChangePassword(PasswordChangeView):
    """One's own. Ends one's other sessions and gives this one a new key."""

    template_name = "accounts/password.html"
    form_class = ChangeForm
    success_url = reverse_lazy("accounts:password")
    http_method_names = ["get", "head", "post", "options"]

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        user = signed_in(self.request.user)
        password = form.cleaned_data["new_password1"]
        changed = services.set_password(user=user, password=password, by=user)
        update_session_auth_hash(self.request, changed)
        messages.success(self.request, "Your password is changed. Your other sessions have ended.")
        return redirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)
