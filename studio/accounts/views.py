"""Signing in and out, and the page of one's own tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from studio.accounts import access, services
from studio.accounts.models import User
from studio.lib.errors import TooManyAttempts


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "The user name or the password is not right. Both mind capital letters.",
        "inactive": "The user name or the password is not right. Both mind capital letters.",
    }


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().post(request, *args, **kwargs)
        except TooManyAttempts as locked:
            form = SignInForm(request)
            context = self.get_context_data(form=form, refused=locked.message)
            headers = {"Retry-After": str(locked.retry_after)}
            return self.render_to_response(context, status=locked.status, headers=headers)


class SignOut(LogoutView):
    http_method_names = ["post", "options"]


class TokenForm(forms.Form):
    label = forms.CharField(max_length=100, label="What is it for?")


@never_cache  # the answer to a POST shows a secret
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)  # SignInRequired
    form = TokenForm(request.POST or None)
    issued = ""
    if request.method == "POST" and form.is_valid():
        _, issued = services.issue_token(
            user=request.user, label=form.cleaned_data["label"], by=request.user
        )
        form = TokenForm()
    context = {"tokens": access.tokens_of(request.user), "form": form, "issued": issued}
    return render(request, "accounts/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    assert isinstance(request.user, User)  # SignInRequired
    token = access.token_for(request.user, pk)
    services.revoke_token(token=token, by=request.user)
    messages.success(
        request,
        f"The token “{token.label}” is revoked: the next request with it is refused.",
    )
    return redirect("accounts:tokens")
